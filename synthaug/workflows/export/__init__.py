"""Exports a shard set to formats that other tools read by themselves: a folder of image files, or Parquet."""

from synthaug.workflows.export.run import ExportConfig, ExportResult, export

__all__ = ["ExportConfig", "ExportResult", "export"]
