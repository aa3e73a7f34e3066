"""The proxies that are tried, one after the other: what each needs to run as the docs show it."""

import re
import signal
from typing import Final

from tests.meet.programs import caddy, debian, envoy, traefik
from tests.meet.proxies import Kind, Running


def _nginx(text: str, running: Running) -> str:
    place = running.place
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    files = "".join(f"    {each}_temp_path {place}/{each};\n" for each in paths)
    return (
        f"user root;\ndaemon off;\nworker_processes 1;\npid {place}/pid;\nerror_log {place}/error.log;\n"
        f"events {{ worker_connections 512; }}\nhttp {{\n    access_log {place}/access.log;\n{files}{text}}}\n"
    )


def _haproxy(text: str, running: Running) -> str:
    logged = text.replace("    mode http\n", "    mode http\n    log global\n    option httplog\n", 1)
    return f"global\n    log stdout format raw local0\n\n{logged}"


def _apache(text: str, running: Running) -> str:
    place = running.place
    modules = (
        "mpm_event authz_core slotmem_shm proxy proxy_http proxy_wstunnel proxy_balancer "
        "lbmethod_bybusyness headers rewrite http2"
    )
    loaded = "".join(
        f"LoadModule {each}_module {running.program.root}/usr/lib/apache2/modules/mod_{each}.so\n"
        for each in modules.split()
    )
    return (
        f"ServerRoot {place}\nPidFile {place}/pid\nServerName 127.0.0.1\nMutex file:{place}\n"
        f"DefaultRuntimeDir {place}\n"
        f"{loaded}User www-data\nGroup www-data\nErrorLog {place}/error.log\n"
        f'LogFormat "%h %l %u %t \\"%r\\" %>s %O \\"%{{Referer}}i\\" \\"%{{User-Agent}}i\\"" combined\n'
        f"CustomLog {place}/access.log combined\n{text}"
    )


def _caddy(text: str, running: Running) -> str:
    return f"{{\n    admin 127.0.0.1:{running.ports.admin}\n    auto_https off\n}}\n{text}"


async def _caddy_reload(running: Running) -> None:
    admin = ("--address", f"127.0.0.1:{running.ports.admin}")
    command = ("reload", "--force", "--config", str(running.file), "--adapter", "caddyfile", *admin)
    await _done(running, str(running.program.path), *command)


def _lighttpd(text: str, running: Running) -> str:
    place = running.place
    return (
        f'server.document-root = "{place}"\nserver.modules += ( "mod_accesslog" )\n'
        f'accesslog.filename = "{place}/access.log"\nserver.errorlog = "{place}/error.log"\n'
        f'server.pid-file = "{place}/pid"\n{text}'
    )


def _traefik(text: str, running: Running) -> str:
    # The file that it watches is this one: the path in the docs is where users have it.
    return text.replace("/etc/traefik/forestay.yaml", str(running.file))


async def _traefik_reload(running: Running) -> None:
    """Another site is added. A file without a change is no news to it."""
    text = running.file.read_text()
    router = "  routers:\n    other:\n      rule: Host(`other.example`)\n      service: forestay\n"
    running.file.write_text(text.replace("  routers:\n", router, 1))


async def _varnish_reload(running: Running) -> None:
    running.generation += 1
    name = f"reload{running.generation}"
    # As shipped it waits for five seconds, which a busy machine may need.
    admin = (str(running.program.root / "usr/bin/varnishadm"), "-t", "60", "-n", str(running.place / "state"))
    await _done(running, *admin, "vcl.load", name, str(running.file))
    await _done(running, *admin, "vcl.use", name)


async def _envoy_reload(running: Running) -> None:
    """Its hot restart: a second process takes the sockets over from the first one."""
    running.generation += 1
    await running.spawn(str(running.program.path), *_envoy_command(running))


def _envoy_command(running: Running) -> tuple[str, ...]:
    return (
        *("-c", str(running.file), "--log-level", "warning", "--concurrency", "1"),
        # What tells proxies on one machine apart.
        *("--base-id", str(running.ports.proxy), "--restart-epoch", str(running.generation)),
    )


async def _done(running: Running, *command: str) -> None:
    process = await running.spawn(*command)
    assert await process.wait() == 0, running.log()[-1500:]


async def _hup(running: Running) -> None:
    running.signalled(signal.SIGHUP)


async def _usr1(running: Running) -> None:
    running.signalled(signal.SIGUSR1)


async def _usr2(running: Running) -> None:
    running.signalled(signal.SIGUSR2)


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            "nginx",
            "docs/operating.md",
            "upstream forestay",
            ("listen 80;", "listen 127.0.0.1:{};"),
            lambda: debian("nginx", "-v"),
            _nginx,
            lambda it: ("-c", str(it.file), "-p", str(it.place), "-e", str(it.place / "error.log")),
            _hup,
            lambda text: re.sub(r"listen (\S+);", r"listen \1 http2;", text),
        ),
        Kind(
            "HAProxy",
            "docs/operating.md",
            "defaults",
            ("bind :80", "bind 127.0.0.1:{}"),
            lambda: debian("haproxy", "-v"),
            _haproxy,
            lambda it: ("-W", "-db", "-f", str(it.file)),
            _usr2,
            lambda text: re.sub(r"bind (\S+)", r"bind \1 proto h2", text),
        ),
        Kind(
            "Apache",
            "docs/proxies.md",
            "Listen 80",
            ("Listen 80", "Listen 127.0.0.1:{}"),
            lambda: debian("apache2", "-v"),
            _apache,
            lambda it: ("-DFOREGROUND", "-d", str(it.place), "-f", str(it.file)),
            _usr1,
            lambda text: f"Protocols h2c http/1.1\n{text}",
        ),
        Kind(
            "Caddy",
            "docs/proxies.md",
            ":80 {",
            (":80 {", "http://127.0.0.1:{} {"),
            caddy,
            _caddy,
            lambda it: ("run", "--config", str(it.file), "--adapter", "caddyfile"),
            _caddy_reload,
            lambda text: text.replace(
                "auto_https off\n", "auto_https off\n    servers {\n        protocols h1 h2c\n    }\n"
            ),
        ),
        Kind(
            "Traefik",
            "docs/proxies.md",
            "# traefik",
            ("web.address=:80", "web.address=127.0.0.1:{}"),
            traefik,
            _traefik,
            lambda it: it.options(),
            _traefik_reload,
            # It takes both on each port.
            lambda text: text,
            suffix=".yaml",
            late=True,
        ),
        Kind(
            "Envoy",
            "docs/proxies.md",
            "static_resources:",
            ("address: 0.0.0.0, port_value: 80 ", "address: 127.0.0.1, port_value: {} "),
            envoy,
            lambda text, _: text,
            _envoy_command,
            _envoy_reload,
            lambda text: text.replace(
                "                upgrade_configs:\n",
                "                http2_protocol_options: { allow_connect: true }\n                upgrade_configs:\n",
            ),
            suffix=".yaml",
            draws=True,
        ),
        Kind(
            "Varnish",
            "docs/proxies.md",
            "# varnishd",
            ("-a :80", "-a 127.0.0.1:{}"),
            lambda: debian("varnishd", "-V"),
            lambda text, _: text,
            lambda it: (
                *("-F", "-j", "none", "-n", str(it.place / "state"), "-f", str(it.file), *it.options()),
                *("-p", f"vmod_path={next(it.program.root.glob('usr/lib/*/varnish/vmods'))}"),
            ),
            _varnish_reload,
            lambda text: text.replace("# varnishd", "# varnishd -p feature=+http2", 1),
            lambda it: (
                *(str(it.program.root / "usr/bin/varnishncsa"), "-n", str(it.place / "state")),
                *("-w", str(it.place / "access.log")),
            ),
        ),
        Kind(
            "lighttpd",
            "docs/proxies.md",
            "server.port",
            ("server.port = 80\n", 'server.port = {}\nserver.bind = "127.0.0.1"\n'),
            lambda: debian("lighttpd", "-v"),
            _lighttpd,
            lambda it: ("-D", "-f", str(it.file), "-m", f"{it.program.root}/usr/lib/lighttpd"),
            _usr1,
            # It takes both on each port.
            lambda text: text,
            # Its old process ends them after one second or nine, whichever of the two comes first to a signal.
            reloading=12.0,
        ),
    )
}
"""All of them, by name."""
