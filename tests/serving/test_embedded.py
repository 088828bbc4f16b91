"""The embedded server's life: new versions, many clients, overload, shutdown, ports."""

import json
import os
import shutil
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_apps.errors import RequestRefused, UserError
from keras_apps.export.server_files import write_batching_params
from keras_apps.serving.catalog import Catalog
from keras_apps.serving.client import Client
from keras_apps.serving.embedded import EmbeddedServer, bind


def running(folder, **arguments):
    return EmbeddedServer(folder, rest_port=0, grpc_port=0, poll_seconds=0.05, **arguments)


def client(server):
    return Client(f"127.0.0.1:{server.rest_port}", timeout=30)


def echo(server):
    return client(server).predict("echo", {"text": ["a"]})["text"][0]


def states(server):
    return {entry["version"]: entry["state"] for entry in client(server).status("echo")}


def test_new_version_is_picked_up_without_dropping_a_request(saved_models, eventually, save_echo):
    with running(saved_models) as server:
        answers, stop = [], threading.Event()

        def keep_asking():
            while not stop.is_set():
                answers.append(echo(server))  # raises if it is dropped

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(keep_asking) for _ in range(4)]
            try:
                save_echo(saved_models / "echo", 2, "?")
                eventually(lambda: echo(server) == "a?")
            finally:
                stop.set()
            for each in asking:
                each.result()
        assert set(answers) == {"a!", "a?"}
        assert states(server) == {2: "AVAILABLE", 1: "END"}
        with pytest.raises(UserError, match="version 1 of model 'echo' is not loaded; version 2 is"):
            client(server).predict("echo", {"text": ["a"]}, version=1)


def test_broken_version_keeps_the_old_one_and_is_loaded_once_repaired(saved_models, eventually, save_echo):
    with running(saved_models) as server:
        save_echo(saved_models / "echo", 5, "?")
        eventually(lambda: echo(server) == "a?")
        broken = saved_models / "echo" / "6"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"no protobuf")
        eventually(lambda: 6 in states(server))
        (status,) = [entry for entry in client(server).status("echo") if entry["version"] == 6]
        eventually(lambda: states(server)[6] == "END")
        (status,) = [entry for entry in client(server).status("echo") if entry["version"] == 6]
        assert status["error_code"] == "UNKNOWN"
        assert "does not load" in status["error_message"]
        assert states(server)[5] == "AVAILABLE"
        assert echo(server) == "a?"
        shutil.copytree(saved_models / "echo" / "1", broken, dirs_exist_ok=True)
        eventually(lambda: states(server)[6] == "AVAILABLE")
        assert echo(server) == "a!"


def test_removing_the_newest_version_goes_back_to_the_one_before(saved_models, eventually, save_echo):
    save_echo(saved_models / "echo", 2, "?")
    with running(saved_models) as server:
        assert echo(server) == "a?"
        shutil.rmtree(saved_models / "echo" / "2")
        eventually(lambda: echo(server) == "a!")
        shutil.rmtree(saved_models / "echo" / "1")
        eventually(lambda: server.models == [])
        with pytest.raises(UserError, match="404"):
            client(server).status("echo")


def test_what_is_no_complete_version_is_ignored(saved_models, eventually):
    source = saved_models / "echo" / "1"
    for name in (".incomplete-2", "latest", "-3", "4.5", "²", "99999999999999999999"):
        shutil.copytree(source, saved_models / "echo" / name)
    (saved_models / "echo" / "6").mkdir()
    shutil.copytree(saved_models / "echo", saved_models / ".incomplete-model")
    (saved_models / "models.config").write_text("")
    with running(saved_models) as server:
        shutil.copytree(saved_models / "echo", saved_models / "later")  # a whole new model, on the other hand, is not
        eventually(lambda: server.models == ["echo", "later"])
        assert states(server) == {1: "AVAILABLE"}


def test_a_request_holds_no_more_than_tensorflow_serving_would_take(saved_models):
    write_batching_params(saved_models / "echo" / "1" / "batching_params.pbtxt", [1, 3])
    with running(saved_models) as server:
        for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port)):
            asking = Client(f"127.0.0.1:{port}", protocol, timeout=30)
            assert asking.predict("echo", {"text": ["a"] * 3})["text"] == ["a!"] * 3
            with pytest.raises(RequestRefused, match="model 'echo' holds at most 3 examples, got 4; send several"):
                asking.predict("echo", {"text": ["a"] * 4})


def test_only_the_models_asked_for(exported):
    with running(exported, models=["echo"]) as server:
        assert server.models == ["echo"]
        with pytest.raises(UserError, match="no model 'numbers'"):
            client(server).predict("numbers", {"x": [[1, 2]], "n": [1]})


def test_a_request_that_outlasts_the_grace_time_is_told(exported, ask, monkeypatch, caplog):
    monkeypatch.setattr("keras_apps.serving.embedded._GRACE_SECONDS", 0.0)
    begun, end = threading.Event(), threading.Event()
    monkeypatch.setattr("keras_apps.serving.rest.predict", lambda *arguments: begun.set() or end.wait(30) or {})
    server = running(exported, models=["echo"]).start()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, server, "/v1/models/echo:predict", b'{"inputs": ["a"]}')
        try:
            assert begun.wait(30)
            server.stop()
            status, answer = asked.result(timeout=30)
        finally:
            end.set()
    assert (status, list(json.loads(answer))) == (503, ["error"]) and b"stopping" in answer
    assert "Traceback" not in caplog.text


def test_64_clients_over_both_protocols(server):
    def ask_rest(number):
        return client(server).predict("echo", {"text": [f"{number}"]})["text"]

    def ask_grpc(number):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "echo"
        request.inputs["text"].CopyFrom(tf.make_tensor_proto([f"{number}"]))
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
        return [response.outputs["text"].string_val[0].decode()]

    def ask(number):
        try:
            return (ask_grpc if number % 2 else ask_rest)(number) == [f"{number}!"]
        except UserError as error:
            return "overloaded" in str(error)
        except grpc.RpcError as error:
            return error.code() == grpc.StatusCode.UNAVAILABLE and "overloaded" in error.details()

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(ask, range(512)))


def test_64_clients_see_a_new_version_and_the_end_and_lose_nothing(saved_models, eventually, save_echo):
    """Each request is answered, with what one of the versions says, or refused, until the server has ended."""
    before = set(threading.enumerate())
    server = running(saved_models).start()
    ports = {"rest": server.rest_port, "grpc": server.grpc_port}
    outcomes, began, stop = Counter(), Counter(), threading.Event()

    def keep_asking(number):
        protocol = ("rest", "grpc")[number % 2]
        asking, version = Client(f"127.0.0.1:{ports[protocol]}", protocol, timeout=30), "a!"
        while not stop.is_set():
            began[protocol] += 1
            try:
                (answer,) = asking.predict("echo", {"text": ["a"]})["text"]
                assert answer in ("a!", "a?") and (version, answer) != ("a?", "a!"), "back to the old version"
                version = answer
                outcomes[protocol, answer] += 1
            except UserError as error:
                ended = "no model server" in str(error)
                assert ended or "overloaded" in str(error), error
                assert not ended or server._stopping.is_set(), error
                outcomes[protocol, "ended" if ended else "refused"] += 1
                if ended:
                    return

    with ThreadPoolExecutor(64) as pool:
        asking = [pool.submit(keep_asking, number) for number in range(64)]
        try:
            eventually(lambda: outcomes["rest", "a!"] and outcomes["grpc", "a!"], 60)
            save_echo(saved_models / "echo", 2, "?")
            eventually(lambda: outcomes["rest", "a?"] and outcomes["grpc", "a?"], 60)
            begin = time.monotonic()
            server.stop()
            assert time.monotonic() - begin < 10, "it did not end within its grace time"
            for each in asking:
                each.result(timeout=60)
        finally:
            stop.set()
            server.stop()
    assert sum(outcomes.values()) == sum(began.values())
    assert outcomes["rest", "ended"] and outcomes["grpc", "ended"]
    eventually(lambda: not [each for each in set(threading.enumerate()) - before if not each.daemon])


def test_overload_is_refused_at_once_over_both_protocols(exported):
    with running(exported, waiting=1) as server:
        protocols = {"rest": server.rest_port, "grpc": server.grpc_port}
        clients = {name: Client(f"127.0.0.1:{port}", name, timeout=60) for name, port in protocols.items()}

        def ask(protocol):
            begin = time.monotonic()
            try:
                clients[protocol].predict("numbers", {"steps": [2]}, signature="slow")
                return "answered"
            except UserError as error:
                assert "overloaded" in str(error), error
                assert ("HTTP 503" if protocol == "rest" else "UNAVAILABLE") in str(error)
                assert time.monotonic() - begin < 5
                return f"{protocol} refused"

        for each in clients.values():
            each.predict("numbers", {"steps": [0]}, signature="slow")
        places = os.cpu_count() + 1
        with ThreadPoolExecutor(8 * places) as pool:
            outcomes = Counter(pool.map(ask, ["rest", "grpc"] * 4 * places))
        assert outcomes["answered"] >= 2
        assert outcomes["rest refused"]
        assert outcomes["grpc refused"]
        assert echo(server) == "a!"  # and it is over when the load is


def test_a_body_that_does_not_come_gives_its_place_back(exported, monkeypatch):
    monkeypatch.setattr("keras_apps.serving.rest._BODY_SECONDS", 0.2)
    with running(exported, models=["echo"], waiting=0) as server:
        head = b"POST /v1/models/echo:predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{"
        slow = [socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) for _ in range(os.cpu_count())]
        for connection in slow:
            connection.sendall(head)
        for connection in slow:
            assert connection.recv(1000).startswith(b"HTTP/1.1 408 ")
            connection.close()
        assert echo(server) == "a!"


def test_stop_finishes_requests_in_flight(exported):
    server = running(exported).start()
    address = f"127.0.0.1:{server.rest_port}"
    with ThreadPoolExecutor(2) as pool:
        clients = [
            Client(f"127.0.0.1:{port}", name) for name, port in (("rest", server.rest_port), ("grpc", server.grpc_port))
        ]
        for each in clients:
            each.predict("numbers", {"steps": [0]}, "slow")
        began = time.monotonic()
        clients[0].predict("numbers", {"steps": [4]}, "slow")
        # Well above the pause below, and well below the grace time, on a busy machine too.
        steps = round(4 * 1.5 / (time.monotonic() - began)) + 1
        asked = [pool.submit(each.predict, "numbers", {"steps": [steps]}, "slow") for each in clients]
        time.sleep(0.3)
        assert not any(each.done() for each in asked)
        assert not server.wait(0)
        server.stop()
        assert [each.result(timeout=1) for each in asked] == [{"done": [steps]}] * 2
    assert server.wait(0)
    with pytest.raises(UserError, match="no model server"):
        Client(address, timeout=2).status("echo")
    server.stop()  # once more does nothing


def test_an_idle_connection_does_not_hold_up_the_end(saved_models):
    server = running(saved_models).start()
    with socket.create_connection(("127.0.0.1", server.rest_port)):
        begin = time.monotonic()
        server.stop()
        assert time.monotonic() - begin < 3


@pytest.mark.parametrize("which", ["rest_port", "grpc_port"])
def test_port_in_use(exported, which):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = EmbeddedServer(exported, **{"rest_port": 0, "grpc_port": 0, which: port})
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1: Address already in use; .* choose another"):
            server.start()
    server.stop()


def test_two_servers_cannot_share_a_grpc_port(exported, server):
    with pytest.raises(UserError, match="gRPC port"):
        EmbeddedServer(exported, rest_port=0, grpc_port=server.grpc_port).start()


def test_rest_and_grpc_cannot_share_a_port(exported):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=f"gRPC port {port} of 127.0.0.1: Address already in use"):
        EmbeddedServer(exported, rest_port=port, grpc_port=port).start()


def test_nobody_else_listens_on_the_rest_port_while_models_are_loaded(saved_models, monkeypatch):
    server, load = running(saved_models), Catalog.load
    with bind("127.0.0.1", 0, "REST") as free:
        server.rest_port = free.getsockname()[1]

    def load_slowly(self):
        with pytest.raises(UserError, match="Address already in use"):
            bind("127.0.0.1", server.rest_port, "REST")
        load(self)

    monkeypatch.setattr(Catalog, "load", load_slowly)
    with server:
        assert echo(server) == "a!"


def test_a_server_whose_rest_ends_at_once_does_not_start(saved_models, monkeypatch):
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    server = running(saved_models)
    with pytest.raises(UserError, match="cannot listen on REST port"):
        server.start()
    with pytest.raises(UserError, match="no model server"):
        Client(f"127.0.0.1:{server.grpc_port}", "grpc", timeout=5).status("echo")


@pytest.mark.parametrize("arguments", [{"rest_port": 70_000}, {"host": "no.such.host.invalid"}])
def test_impossible_addresses(exported, arguments):
    with pytest.raises(UserError, match="cannot listen"):
        EmbeddedServer(exported, **{"rest_port": 0, "grpc_port": 0, **arguments}).start()


def test_nothing_to_serve(tmp_path, exported):
    with pytest.raises(UserError, match="no such folder"):
        running(tmp_path / "absent").start()
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no model in .*expected <model>/<version>/saved_model.pb"):
        running(tmp_path / "empty").start()
    with pytest.raises(UserError, match="no model absent in .*there is: echo, numbers, picture"):
        running(exported, models=["absent"]).start()
    (tmp_path / "broken" / "model" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "model" / "1" / "saved_model.pb").write_bytes(b"no protobuf")
    with pytest.raises(UserError, match="could be loaded; model version 1: does not load"):
        running(tmp_path / "broken").start()


def test_a_broken_newest_version_does_not_keep_the_server_from_starting(saved_models):
    (saved_models / "echo" / "2").mkdir()
    (saved_models / "echo" / "2" / "saved_model.pb").write_bytes(b"")
    with running(saved_models) as server:
        assert echo(server) == "a!"
        assert states(server) == {2: "END", 1: "AVAILABLE"}


def test_ipv6(saved_models):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with running(saved_models, host="::1") as server:
        for protocol, port in (("rest", server.rest_port), ("grpc", server.grpc_port)):
            answer = Client(f"http://[::1]:{port}", protocol).predict("echo", {"text": ["a"]})
            assert json.dumps(answer) == '{"text": ["a!"]}'
