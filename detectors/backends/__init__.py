"""What runs a network: OpenVINO for the shipped weights, ultralytics for weights of one's own."""
