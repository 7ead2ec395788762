"""What the sources may do: reach the network, start programs, read files that could be code, and
call tools. Each place is named here with the reason; a new one must be added, and thought about.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNSAFE_ATTRIBUTES = {
    "load_extension", "enable_load_extension", "read_pickle", "to_pickle", "allow_pickle",
    "UnsafeLoader", "FullLoader", "Unpickler", "load_module", "exec_module",
}  # fmt: skip
LOOKED_FOR = {*UNSAFE_ATTRIBUTES, "from_pretrained", "call"}
PACKAGES = (
    "bb_core", "bb_domains", "bb_nn", "bb_runtime", "bb_safety", "bb_train", "bem_kernel", "seal",
)  # fmt: skip


def dotted(node):
    """`a.b.c` as a text; empty if it is something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def imported(tree):
    """What each name of a module stands for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                found[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Places:
    """Every call of a module, and every attribute that is looked for, with its function."""

    def __init__(self, path, tree):
        names = imported(tree)
        self.calls, self.attributes, self.called = [], [], set()
        left = [(tree, f"{path}:")]
        while left:
            node, where = left.pop()
            if isinstance(node, SCOPES):
                where += node.name if where.endswith(":") else f".{node.name}"
            elif isinstance(node, ast.Call):
                name = dotted(node.func)
                first, dot, rest = name.partition(".")
                self.calls.append((names.get(first, first) + dot + rest, where, node))
                self.called.add(id(node.func))
            elif isinstance(node, ast.Attribute) and node.attr in LOOKED_FOR:
                self.attributes.append((node.attr, ast.unparse(node.value), where, id(node)))
            left += [(child, where) for child in ast.iter_child_nodes(node)]


@cache
def modules():
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            found.append((path.relative_to(ROOT).as_posix(), tree))
    assert len(found) > 300
    return [(path, tree, Places(path, tree)) for path, tree in found]


def calls(wanted):
    """Places of the calls whose full name `wanted` says yes to."""
    found = defaultdict(set)
    for _, _, places in modules():
        for name, where, _ in places.calls:
            if wanted(name):
                found[name].add(where)
    return dict(found)


# -- the network -----------------------------------------------------------------------------------

NETWORK = (
    "aiohttp", "asyncio.create_connection", "asyncio.open_connection",
    "asyncio.open_unix_connection", "asyncio.start_server", "ftplib", "grpc", "http.client",
    "http.server", "httpcore", "httpx", "huggingface_hub", "imaplib", "paramiko", "poplib",
    "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib", "urllib.request",
    "urllib3", "uvicorn", "webbrowser", "websocket", "websockets", "xmlrpc",
)  # fmt: skip
HARMLESS = ("httpx.URL", "httpx.Request", "httpx.ConnectError", "httpx.ReadTimeout")

OUTGOING = {
    # the door, with what it checks
    "socket.create_connection": {"bb_domains/outgoing.py:connect"},
    "socket.getaddrinfo": {"bb_domains/outgoing.py:checked_addresses"},
    "httpx.HTTPTransport": {"bb_domains/outgoing.py:GuardedTransport.__init__"},
    "httpx.Client": {
        "bb_domains/outgoing.py:open_client",
        "bb_domains/openapi.py:_fetch",  # the address that a user has typed
        "bb_domains/mcp_http.py:connected",  # the same
        "bb_domains/api_json/demo.py:running_demo",  # our own service on loopback
        "bb_train/service.py:connected",  # the same
    },
    "httpx.AsyncClient": {"bb_domains/traces_cli.py:_serve"},  # the service that a user records
    # TLS over a connection of the door
    "ssl.create_default_context": {"bb_domains/robots/transports.py:open_transport"},
}
LISTENING = {
    "socket.create_server": {
        "bb_domains/robots/bridge_server.py:serving", "bb_runtime/http/serve.py:_listen",
    },
    "socket.socket": {"bb_domains/api_json/server.py:_bind", "bb_train/service.py:_is_free"},
    "http.server.ThreadingHTTPServer": {"bb_domains/social/server.py:serve"},
    "uvicorn.Config": {
        "bb_domains/api_json/server.py:serve", "bb_domains/traces_cli.py:_serve",
        "bb_runtime/http/serve.py:serve_app",
    },
    "uvicorn.Server": {"bb_domains/api_json/server.py:serve", "bb_domains/traces_cli.py:_serve"},
}  # fmt: skip
PROGRAMS = {
    "subprocess.Popen": {
        "bb_domains/api_json/server.py:_start",  # ourselves
        "bb_domains/mcp_stdio.py:started",  # what the domain names
        "bb_domains/phone/recorder.py:_watch",  # adb
        "bb_train/processes.py:run_process",  # ourselves
    },
    "subprocess.run": {
        "bb_core/doctor.py:_say", "bb_domains/phone/adb.py:AdbDevice._run",
        "bem_kernel/engines/triton_engine.py:_ptxas",
    },
}  # fmt: skip


def is_network(name):
    begins = any(name == module or name.startswith(f"{module}.") for module in NETWORK)
    return begins and not name.startswith(HARMLESS)


def test_every_way_out_is_known():
    assert calls(is_network) == OUTGOING | LISTENING


def test_no_client_takes_proxies_or_redirects_from_elsewhere():
    for path, _, places in modules():
        for name, _, node in places.calls:
            given = {word.arg: word.value for word in node.keywords}
            if name in ("httpx.Client", "httpx.AsyncClient", "httpx.HTTPTransport"):
                assert ast.unparse(given["trust_env"]) == "False", path
            for switch in ("follow_redirects", "allow_redirects"):
                assert ast.unparse(given.get(switch, ast.Constant(False))) == "False", path
            assert not {"proxy", "proxies", "mounts"} & given.keys(), path
            unverified = ast.unparse(given.get("verify", ast.Constant(True)))
            assert unverified == "True", path


def test_every_program_is_known_and_no_shell_is():
    starts = {"system", "popen", "fork", "forkpty", "posix_spawn", "execv", "execvp", "spawnv"}
    found = calls(
        lambda name: (
            name.startswith(("subprocess.", "asyncio.create_subprocess", "pty."))
            or name in {f"os.{start}" for start in starts}
        )
    )
    assert {name: {where.split(":")[0] for where in places} for name, places in found.items()} == {
        name: {where.split(":")[0] for where in places} for name, places in PROGRAMS.items()
    }
    for path, _, places in modules():
        for _, _, node in places.calls:
            assert "shell" not in {word.arg for word in node.keywords}, path


# -- files that could be code ----------------------------------------------------------------------

UNSAFE_MODULES = {
    "pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "hickle",
    "jsonpickle", "pandas", "zodbpickle", "sklearn", "code", "codeop", "runpy",
}  # fmt: skip
UNSAFE_NAMES = {
    "torch.load", "torch.jit.load", "torch.package.PackageImporter", "torch.hub.load", "eval",
    "__import__", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "yaml.unsafe_load_all",
    "yaml.full_load_all", "numpy.lib.format.read_array", "numpy.fromfile", "numpy.loads",
}  # fmt: skip
RUN = {
    # text that was made from a circuit's gates, all of them integers
    "bem_kernel/engines/integer.py": {"exec", "compile"},
    "bem_kernel/engines/triton_engine.py": {"exec", "compile"},
}


def test_no_module_that_unpickles_is_imported():
    for path, tree, _ in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {(node.module or "").split(".")[0]}
            else:
                continue
            assert not names & UNSAFE_MODULES, (path, names)


def test_nothing_that_runs_what_it_reads_is_called():
    assert calls(UNSAFE_NAMES.__contains__) == {}
    ran = defaultdict(set)
    for name, places in calls({"exec", "compile"}.__contains__).items():
        for where in places:
            ran[where.split(":")[0]].add(name)
    assert ran == RUN
    for path, _, places in modules():
        for attribute, owner, where, _ in places.attributes:
            if attribute in UNSAFE_ATTRIBUTES:  # a domain's own package, when it is asked for
                expected = ("exec_module", "spec.loader", "bb_domains/kit.py:_import_folder")
                assert (attribute, owner, where) == expected, path


def test_every_loader_is_told_to_run_nothing():
    seen = defaultdict(int)
    wanted = {
        "numpy.load": {"allow_pickle": "False"},
        "AutoModelForCausalLM.from_pretrained": {
            "use_safetensors": "True", "trust_remote_code": "False",
        },
        "AutoTokenizer.from_pretrained": {"trust_remote_code": "False"},
    }  # fmt: skip
    for path, _, places in modules():
        for name, _, node in places.calls:
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            assert given.get("trust_remote_code", "False") == "False", path
            assert given.get("allow_pickle", "False") == "False", path
            for ending, must in wanted.items():
                if name == ending or name.endswith(f".{ending}"):
                    seen[ending] += 1
                    assert must.items() <= given.items(), (path, ast.unparse(node))
            if name == "yaml.load":
                assert given == {"Loader": "loader"}, path
                seen[name] += 1
    assert dict(seen) == {
        "numpy.load": 1, "AutoModelForCausalLM.from_pretrained": 3,
        "AutoTokenizer.from_pretrained": 3, "yaml.load": 1,
    }  # fmt: skip


def test_every_other_model_loader_is_known():
    found = set()
    for _, _, places in modules():
        for attribute, owner, where, _ in places.attributes:
            if attribute == "from_pretrained" and owner not in (
                "AutoModelForCausalLM", "AutoTokenizer",
            ):  # fmt: skip
                found.add((owner, where.split(":")[0]))
    assert found == {
        ("AutoConfig", "bb_train/published_shapes.py"),  # JSON
        ("DualRailForCausalLM", "bb_runtime/load.py"),  # ours: safetensors and JSON
        ("DualRailForCausalLM", "bb_train/methods.py"),
        ("DualRailForCausalLM", "bb_train/promotion.py"),
        ("PeftModel", "bb_train/methods.py"),  # after a look that it will find safetensors
    }


# -- tools -----------------------------------------------------------------------------------------

TOOL_CALLS = {
    # with a certificate: the one place from which plans call tools
    ("bb_runtime/attempt.py:Attempt._run", "adapters"),
    # adapters that stand before adapters: they are called by the place above
    ("bb_domains/kit.py:Discreet.call", "self.adapters"),
    ("bb_domains/social/mastodon.py:RealDesk.call", "self.desk"),
    ("bb_domains/social/mastodon.py:MastodonNetwork._call", "self.wire"),
    ("bb_domains/phone/simulated.py:PhoneSimulator.call", "self._driver"),
    ("bb_domains/social/simulated.py:SocialSimulator.call", "self._desk"),
    ("bb_domains/api_json/simulated.py:SimulatedService._granted", "session"),
    ("bb_domains/robots/bridge_server.py:BridgeServer.act", "self.robot"),  # the simulated robot
    ("bb_train/shadow.py:DryRunAdapters.call", "self.reading"),  # reads only
    # worlds of their own, in which plans are tried and traces made
    ("bb_domains/simulation.py:Trial.succeeds", "simulator"),
    ("bb_domains/simulation.py:try_plan", "simulator"),
    ("bb_domains/api_json/traces.py:_call_all", "adapters"),
    ("bb_train/counterfactual.py:Arena._carried", "world"),  # with a certificate besides
    ("bb_domains/api_json/exploration.py:_called", "adapters"),
}
NO_TOOLS = {"self.log", "self.journal", "draft", "builder", "unit", "self", "work"}
"""Their `call` is another: an entry of a log, an instruction, a lane, a call that is counted."""


def test_tools_are_called_where_it_is_known():
    found = set()
    for _, _, places in modules():
        for attribute, owner, where, _ in places.attributes:
            if attribute == "call" and owner not in NO_TOOLS:
                found.add((where, owner))
    assert found == TOOL_CALLS


def test_no_tool_is_called_by_a_name_in_disguise():
    """`f = adapters.call`, `getattr(adapters, "call")`, `methodcaller("call")`, `__dict__[…]`."""
    for path, tree, places in modules():
        for attribute, _, where, node in places.attributes:
            assert attribute != "call" or node in places.called, where
        for name, where, node in places.calls:
            if name.rpartition(".")[2] in ("getattr", "methodcaller", "attrgetter"):
                words = [part.value for part in node.args if isinstance(part, ast.Constant)]
                assert "call" not in words, where
        assert "'call'" not in {ast.unparse(n.slice) for n in ast.walk(tree)
                                if isinstance(n, ast.Subscript)}, path  # fmt: skip


def runtime_calls(name):
    """Files and functions of the runtime that call something of this last name."""
    found = calls(lambda called: called.rpartition(".")[2] == name)
    places = {where for places in found.values() for where in places}
    return {where for where in places if where.startswith("bb_runtime/")}


def test_adapters_are_opened_where_plans_run():
    found = runtime_calls("open_adapters") | runtime_calls("_opened")
    assert {where.partition(":")[0] for where in found} == {
        "bb_runtime/http/planning.py", "bb_runtime/run_plan.py",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("Attempt", {"carrier.py:Carrier._begin", "carrier.py:Carrier._probe"}),
        ("Carrier", {"execute.py:execute", "execute.py:resume"}),
        ("Certificate", {"check.py:_certified"}),
        ("_seal", {"check.py:_certified", "check.py:_is_sealed"}),
    ],
)
def test_certificates_are_made_and_asked_for_in_one_place(name, places):
    assert runtime_calls(name) == {f"bb_runtime/{place}" for place in places}
