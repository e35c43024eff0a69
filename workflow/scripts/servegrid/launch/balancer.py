"""The load balancer in front of several servers: nginx or HAProxy, set up so that it only distributes requests.

* Answers are handed on as they come; nginx would gather them otherwise.
* Clients' connections are kept, but each request has a connection of its own to its server: llama-server closes its end after a
  stream without having said so, and what is sent on it in that moment is lost. On one host a connection costs little.
* The next request goes to the server with the fewest in flight. Requests differ in length, so taking turns would leave one server
  with a queue while another is idle.
* Nothing is sent twice: a generation that was begun is not idempotent, and a second try would be counted as one slow request. No
  server is taken out either. A server that fails is a failed measurement, and must be seen.
* It waits longer than the client does, so that it is always the client's limit that ends a request.
* No access log, no checks of its own on the servers.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {"nginx": "nginx-light", "haproxy": "haproxy"}
MAX_CONNECTIONS = 8192  # of clients; each has one to a server too
CORES_PER_WORKER = 8
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on every user's PATH


@dataclass(frozen=True, slots=True)
class Balancer:
    """Settings of a balancer. `read_timeout_s`: how long an answer may be silent, in s; `folder`: where its config is written."""

    kind: str
    port: int
    server_ports: tuple[int, ...]
    folder: Path
    read_timeout_s: float
    workers: int

    @property
    def config_file(self) -> Path:
        """Path of the config file."""
        return self.folder / {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[self.kind]

    @property
    def command(self) -> list[str]:
        """Command line that runs the balancer in the foreground."""
        name = find_program(self.kind) or self.kind
        if self.kind == "nginx":
            return [name, "-p", str(self.folder), "-c", str(self.config_file)]
        return [name, "-db", "-f", str(self.config_file)]

    @property
    def config(self) -> str:
        """Text of the config file."""
        return _nginx_config(self) if self.kind == "nginx" else _haproxy_config(self)


def worker_count(cores: int) -> int:
    """Number of processes (nginx) or threads (HAProxy) on a host with so many cores; few, for they take CPU from the servers."""
    return max(1, cores // CORES_PER_WORKER)


def find_program(kind: str) -> str | None:
    """Path of the balancer's program on this host; None if it is missing."""
    return shutil.which(kind, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS]))


def why_missing(kind: str) -> str | None:
    """What this host lacks to run this balancer, with how to install it; None if nothing."""
    if find_program(kind):
        return None
    return f"the load balancer {kind} is not installed (Debian: apt-get install {PACKAGES[kind]})"


def _nginx_config(balancer: Balancer) -> str:
    """nginx.conf. Without the shared zone every worker would count only its own requests."""
    read_timeout_s = round(balancer.read_timeout_s)
    servers = _lines(f"        server 127.0.0.1:{port} max_fails=0;" for port in balancer.server_ports)
    return f"""\
daemon off;
worker_processes {balancer.workers};
worker_rlimit_nofile {2 * MAX_CONNECTIONS};
pid {_quote_path(balancer.folder / "nginx.pid")};
error_log stderr error;
events {{
    worker_connections {MAX_CONNECTIONS};
}}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_buffer_size 16m;
    client_body_timeout {read_timeout_s}s;
    keepalive_timeout {read_timeout_s}s;
    keepalive_requests 1000000000;
{_lines(f"    {kind}_temp_path {_quote_path(balancer.folder / 'temporary')};" for kind in _TEMPORARY_KINDS)}
    upstream servers {{
        zone servers 256k;
        least_conn;
{servers}
    }}
    server {{
        listen 127.0.0.1:{balancer.port} backlog=4096;
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection close;
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_next_upstream off;
            proxy_connect_timeout 60s;
            proxy_send_timeout {read_timeout_s}s;
            proxy_read_timeout {read_timeout_s}s;
        }}
    }}
}}
"""


_TEMPORARY_KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _haproxy_config(balancer: Balancer) -> str:
    """haproxy.cfg. `no strict-limits`: where this user may open fewer files, there are fewer connections instead of none."""
    read_timeout_s = round(balancer.read_timeout_s)
    servers = _lines(
        f"    server copy{number} 127.0.0.1:{port}" for number, port in enumerate(balancer.server_ports, start=1)
    )
    return f"""\
global
    nbthread {balancer.workers}
    maxconn {MAX_CONNECTIONS}
    no strict-limits
defaults
    mode http
    option http-no-delay
    option http-server-close
    retries 0
    timeout connect 60s
    timeout client {read_timeout_s}s
    timeout server {read_timeout_s}s
    timeout http-request {read_timeout_s}s
    timeout http-keep-alive {read_timeout_s}s
    timeout queue {read_timeout_s}s
frontend all
    bind 127.0.0.1:{balancer.port} backlog 4096
    maxconn {MAX_CONNECTIONS}
    default_backend servers
backend servers
    balance leastconn
{servers}
"""


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _quote_path(path: Path) -> str:
    """A path in nginx's quotes, so that blanks in it are kept."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
