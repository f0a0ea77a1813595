"""Our simulator inside LeRobot: give its commands `--robot.discover_packages_path=pilab.robots.bridges.lerobot_plugin`.

Then `--robot.type=pilab` is a robot like any other. Importing this needs LeRobot; nothing in pilab imports it.
"""

from pilab.robots.bridges.lerobot_plugin.simulator import PilabSimulator, PilabSimulatorConfig

__all__ = ["PilabSimulator", "PilabSimulatorConfig"]
