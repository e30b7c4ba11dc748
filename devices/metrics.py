"""What can be measured: the metrics, their units, and how many decimals are worth showing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One measurable quantity. `unit` is what stored values are in."""

    code: str
    label: str
    unit: str
    decimals: int = 1


METRICS = {
    metric.code: metric
    for metric in (
        Metric("temperature", "Temperature", "°C"),
        Metric("humidity", "Relative humidity", "%"),
        Metric("dew_point", "Dew point", "°C"),
        Metric("pressure", "Air pressure", "hPa"),
        Metric("rain", "Rain", "mm"),
        Metric("wind_speed", "Wind speed", "m/s"),
        Metric("pm25", "PM2.5", "µg/m³", 0),
        Metric("pm10", "PM10", "µg/m³", 0),
        Metric("so2", "Sulphur dioxide", "µg/m³", 0),
        Metric("no2", "Nitrogen dioxide", "µg/m³", 0),
        Metric("co", "Carbon monoxide", "µg/m³", 0),
        Metric("o3", "Ozone", "µg/m³", 0),
    )
}
METRIC_CHOICES = [(metric.code, metric.label) for metric in METRICS.values()]
