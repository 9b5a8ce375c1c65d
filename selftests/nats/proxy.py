#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""proxy.py PORT SERVER_PORT [BYTES]: a network between a client and a server, on loopback.

SIGUSR1  holds what the server says, while what the client says goes through;
         prints "published" when that has a message in it
SIGUSR2  lets it go again
SIGHUP   cuts all connections
With BYTES the first connection is cut once the server has said so many.
"""
import selectors
import signal
import socket
import sys

port, server_port = int(sys.argv[1]), int(sys.argv[2])
left = int(sys.argv[3]) if len(sys.argv) > 3 else None
selector = selectors.DefaultSelector()
held = False
waiting = []  # of (socket, bytes)
peers = {}


def close(sock):
    peer = peers.pop(sock, None)
    for end in (sock, peer):
        if end is not None:
            peers.pop(end, None)
            selector.unregister(end)
            end.close()


def send(sock, data):
    sock.setblocking(True)
    try:
        sock.sendall(data)
    except OSError:
        close(sock)


def hold(*_):
    global held
    held = True


def release(*_):
    global held
    held = False
    for sock, data in waiting:
        if sock in peers:
            send(sock, data)
    waiting.clear()


def cut(*_):
    for sock in list(peers):
        if sock in peers:
            close(sock)


def accept(listener):
    client, _ = listener.accept()
    try:
        server = socket.create_connection(("127.0.0.1", server_port))
    except OSError:
        client.close()
        return
    peers[client], peers[server] = server, client
    selector.register(client, selectors.EVENT_READ, from_client)
    selector.register(server, selectors.EVENT_READ, from_server)


def receive(sock):
    try:
        return sock.recv(4096)
    except OSError:
        return b""


def from_client(sock):
    data = receive(sock)
    if not data:
        return close(sock)
    send(peers[sock], data)
    if held and b"PUB $KV." in data:
        print("published", flush=True)


def from_server(sock):
    global left
    data = receive(sock)
    if not data:
        return close(sock)
    if held:
        waiting.append((peers[sock], data))
        return
    send(peers[sock], data)
    if left is not None:
        left -= len(data)
        if left <= 0:
            left = None
            close(sock)
            print("cut", flush=True)


for number, handler in ((signal.SIGUSR1, hold), (signal.SIGUSR2, release), (signal.SIGHUP, cut)):
    signal.signal(number, handler)
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen()
selector.register(listener, selectors.EVENT_READ, accept)
print("ready", flush=True)
while True:
    for key, _ in selector.select(1):
        if key.fileobj in peers or key.fileobj is listener:
            key.data(key.fileobj)
