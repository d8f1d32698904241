"""The dashboards as code: `python -m grafana` writes `grafana/dashboards/*.json`, `--check` tells what has drifted."""
