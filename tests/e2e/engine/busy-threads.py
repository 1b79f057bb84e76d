# Answers as much of redis's protocol as a counter needs, while threads and a child process calculate: each knows what must come out, in integers and in
# floating point, and one that finds another result ends them all. Registers that a thread did not get back would show there.
import math, os, signal, socket, threading

signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def series():
    total, whole = 0.0, 0
    for i in range(1, 4000):
        total += math.sin(i) * math.sqrt(i) / (i + 0.5)
        whole = (whole * 31 + i) % 1000000007
    return total, whole


expected = series()


def calculate():
    while True:
        if series() != expected:
            os.kill(0, signal.SIGKILL)
        os.sched_yield()


if os.fork() == 0:
    calculate()
for _ in range(2):
    threading.Thread(target=calculate, daemon=True).start()
# Some that wait in the kernel.
for _ in range(4):
    threading.Thread(target=threading.Event().wait, daemon=True).start()

server = socket.create_server(("0.0.0.0", 6379))
count = 0


def serve(connection):
    global count
    while data := connection.recv(4096):
        if b"PING" in data.upper():
            connection.sendall(b"+PONG\r\n")
        else:
            count += 1
            connection.sendall(b":%d\r\n" % count)


while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
