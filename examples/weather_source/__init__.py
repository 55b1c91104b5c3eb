"""A data source: weather as it was measured, day by day and hour by hour."""

from weather_source.source import CONFIG, Stream

__all__ = ["CONFIG", "Stream"]
