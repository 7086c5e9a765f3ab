"""The live page in a browser (`tiae view`), in a process of its own that the node does not notice.

    recent         the last seconds of messages, as they came over the wire
    listening      ROS: which topics, from what the node says of itself; its parameters and services
    moment         the messages of one moment -> arrays
    known_grasps   the model's names on a map, and the pattern that a descriptor restores
    history        what is drawn over time: descriptor, shift, track on the map
    pictures       arrays -> pictures of the page
    robot_hand     joint targets -> the bones of a robot hand
    door           who may open the page: address, token, origin
    page           the page's elements and the scene (viser)
    sliders        the node's live parameters as elements of the page
    bug_report     the last seconds, parameters and versions -> a folder that is a bag
    live           all of it, ten times a second while somebody looks

The newest wins everywhere. What costs the node or this machine something is listened to only while a browser is there.
"""
