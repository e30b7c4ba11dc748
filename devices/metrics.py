"""What can be measured: the metrics, their units, their physical ranges, and how many decimals are worth showing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One measurable quantity. `unit` is what stored values are in; outside `low` to `high` a sensor is at fault.

    The ranges hold all that was ever measured outdoors (WMO World Weather and Climate Extremes Archive), and leave out
    what loggers write for "no value": -9999, 9999, -32768, 65535; 85 and -127 of DS18B20 probes.
    """

    code: str
    label: str
    unit: str
    decimals: int = 1
    low: float = -10  # of gases and particles: an analyser's noise around zero
    high: float = 5_000
    summed: bool = False  # a reading is an amount since the one before: a total says something of them, a mean nothing


METRICS = {
    metric.code: metric
    for metric in (
        Metric("temperature", "Temperature", "°C", low=-90, high=60),  # records: -89.2, 56.7
        Metric("humidity", "Relative humidity", "%", low=0, high=105),  # sensors overshoot in fog
        Metric("dew_point", "Dew point", "°C", low=-100, high=40),  # record: 35
        Metric("pressure", "Air pressure", "hPa", low=300, high=1_100),  # Mount Everest: 330; record: 1,084
        Metric("rain", "Rain", "mm", low=0, high=500, summed=True),  # since the reading before; record of an hour: 401
        Metric("wind_speed", "Wind speed", "m/s", low=0, high=115),  # record: 113.2
        Metric("pm25", "PM2.5", "µg/m³", 0),
        Metric("pm10", "PM10", "µg/m³", 0, high=9_000),  # sand storms
        Metric("so2", "Sulphur dioxide", "µg/m³", 0),
        Metric("no2", "Nitrogen dioxide", "µg/m³", 0),
        Metric("co", "Carbon monoxide", "µg/m³", 0, low=-100, high=60_000),
        Metric("o3", "Ozone", "µg/m³", 0, high=2_000),
    )
}
METRIC_CHOICES = [(metric.code, metric.label) for metric in METRICS.values()]
