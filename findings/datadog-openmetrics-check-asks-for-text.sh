#!/usr/bin/env bash
# Datadog's OpenMetrics check asks for Prometheus' text form, and for OpenMetrics only where `use_latest_spec` is set.
#
# Seen with datadog-checks-base 37.15.0 of PyPI, on Python 3.11: the class that the check of this name is made of sends
# `Accept: text/plain` where its instance does not say more. A server that chooses the form by this header, as the
# specification of OpenMetrics wants it, answers with the text form, which has no exemplars and no units. With
# `use_latest_spec: true` it asks for OpenMetrics. One would expect that from the name.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check "datadog-checks-base[deps]==37.15.0"

cat >run.py <<'PY'
import http.server
import threading

from datadog_checks.base import OpenMetricsBaseCheckV2


class Server(http.server.BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):
        self.asked.append("openmetrics" in self.headers["Accept"])
        form = "application/openmetrics-text; version=1.0.0; charset=utf-8" if self.asked[-1] else "text/plain"
        self.send_response(200)
        self.send_header("Content-Type", form)
        self.end_headers()
        self.wfile.write(b"# TYPE up gauge\nup 1\n" + (b"# EOF\n" if self.asked[-1] else b""))

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
for name, more in ("by itself", {}), ("with use_latest_spec", {"use_latest_spec": True}):
    Server.asked.clear()
    instance = {"openmetrics_endpoint": url, "namespace": "one", "metrics": [".+"], **more}
    error = OpenMetricsBaseCheckV2("one", {}, [instance]).run()
    print(f"{name}: asks for OpenMetrics: {Server.asked}, error: {error or 'none'}")
PY

seen=$(venv/bin/python run.py 2>/dev/null)
expected="by itself: asks for OpenMetrics: [False], error: none
with use_latest_spec: asks for OpenMetrics: [True], error: none"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
