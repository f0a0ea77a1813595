"""LeRobotDataset v3.0, read and written without the lerobot package.

`format` holds the typed records, `stats` the numbers of stats.json, `video` the codec, `writer` and `reader` the two
directions. The class names are LeRobot's own, so that an example written for one reads like the other.
"""

from pilab.data.lerobot.format import DatasetInfo, Feature
from pilab.data.lerobot.reader import LeRobotDataset
from pilab.data.lerobot.video import VideoCodec, colour_error
from pilab.data.lerobot.writer import DatasetWriter, stage_episode

__all__ = ["DatasetInfo", "DatasetWriter", "Feature", "LeRobotDataset", "VideoCodec", "colour_error", "stage_episode"]
