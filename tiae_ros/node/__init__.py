"""The ROS 2 node. rclpy is imported in this folder only, and by no module that another folder imports.

parameters       the one table of parameters; reading and checking values (no rclpy)
pairing          messages of several streams -> sets of one moment (no rclpy)
mailbox          one slot between two threads, newest wins (no rclpy)
pipeline         decoded frame -> everything that is published (no rclpy)
drawing          the debug picture (no rclpy)
statistics       rates, latencies, drops by reason (no rclpy)
model_folders    a model's name -> its folder (no rclpy)
messages         arrays -> messages
diagnostics      statistics -> diagnostic_msgs
lifecycle_node   the node
main             process: signals, executor, exit code
player           a recorded bag -> topics
"""
