"""Recognition: pictures in, plates with their reads and vehicles out."""

import sys

# Importing openvino reports the use of it to its maker over the Internet. Where the package that
# does so is missing, openvino goes without: so it is missing, for whoever imports us first.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
