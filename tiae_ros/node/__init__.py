"""The ROS 2 node. rclpy is imported in this folder, in `commands` and in `view` only.

node             the lifecycle node: its states, and a frame's way through it
inputs           subscriptions and pairing: messages -> frames
outputs          publishers: results -> messages
live_parameters  the parameters at run time
worker           one thread that takes the newest frame
health           faults and warnings: to the log now and then, to /diagnostics while they last
repetitions      which lines are worth a line (no rclpy)
frames           messages of one moment -> pictures (no rclpy)
warm_up          first passes by a drawn frame (no rclpy)
library_output   what image libraries write to stderr (no rclpy)
mailbox          one slot between two threads, newest wins (no rclpy)
statistics       rates, latencies, drops by reason (no rclpy)
messages         arrays -> messages
diagnostics      statistics -> diagnostic_msgs
large_messages   Fast DDS set-up of a process that publishes images (no rclpy)
launching        what the launch files share (no rclpy)
session          ROS 2 in a process: begin and end
main             process: signals, executor, exit code
player           a recorded bag -> topics
signals          SIGINT and SIGTERM as a flag (no rclpy)
"""
