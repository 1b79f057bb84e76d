#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { lane_bytes = 64 << 10, goodbye_ms = 5000, silence_s = 10, silences = 3 };

// One direction: what was read and is not written yet.
struct lane {
  char bytes[lane_bytes];
  size_t from, to;
};

static size_t waiting(const struct lane *lane) { return lane->to - lane->from; }

// What came from the peer goes to `local`. 1 where something moved, 0 where not, -1 where `local` takes nothing any more.
static int to_local(struct lane *lane, int local) {
  if (waiting(lane) == 0) return 0;
  ssize_t put = send(local, lane->bytes + lane->from, waiting(lane), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (put < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
  lane->from += (size_t)put;
  return 1;
}

enum relay_end relay(struct tls *tls, int connection, int local) {
  static struct lane in, out;
  int is_flushed = 1, has_local_ended = 0, has_peer_ended = 0;
  in = out = (struct lane){.from = 0};
  for (;;) {
    int has_moved = 0, taken = to_local(&in, local);
    if (taken < 0) has_local_ended = 1;
    has_moved |= taken > 0;
    if (waiting(&in) == 0 && has_peer_ended) return RELAY_PEER;
    if (waiting(&in) == 0 && !has_local_ended) {
      ssize_t got = tls_read_some(tls, in.bytes, sizeof in.bytes);
      if (got < 0 && errno != EAGAIN) return RELAY_LOST;
      if (got == 0) has_peer_ended = 1;
      in.from = 0;
      in.to = got > 0 ? (size_t)got : 0;
      has_moved |= got >= 0;
    }
    if (waiting(&out) == 0 && is_flushed && !has_local_ended) {
      ssize_t got = recv(local, out.bytes, sizeof out.bytes, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) has_local_ended = 1;
      out.from = 0;
      out.to = got > 0 ? (size_t)got : 0;
      has_moved |= got > 0 || has_local_ended;
    }
    if (waiting(&out) > 0) {
      ssize_t put = tls_write_some(tls, out.bytes + out.from, waiting(&out));
      if (put < 0 && errno != EAGAIN) return RELAY_LOST;
      out.from += put > 0 ? (size_t)put : 0;
      has_moved |= put > 0;
      is_flushed = 0;
    }
    if (waiting(&out) == 0 && !is_flushed) {
      is_flushed = tls_flush_some(tls) == 0;
      if (!is_flushed && errno != EAGAIN) return RELAY_LOST;
      has_moved |= is_flushed;
    }
    if (has_local_ended && waiting(&out) == 0 && is_flushed) return RELAY_HERE;
    if (has_moved) continue;
    short peer_events = (short)((waiting(&in) == 0 && !has_local_ended ? POLLIN : 0) | (is_flushed ? 0 : POLLOUT));
    short local_events = (short)(has_local_ended ? 0 : (waiting(&in) > 0 ? POLLOUT : 0) | (waiting(&out) == 0 && is_flushed ? POLLIN : 0));
    // A side from which nothing is wanted now is not looked at: its end would be told again and again.
    struct pollfd at[2] = {{.fd = peer_events ? connection : -1, .events = peer_events}, {.fd = local_events ? local : -1, .events = local_events}};
    if (poll(at, 2, -1) < 0 && errno != EINTR) return RELAY_LOST;
  }
}

void relay_goodbye(struct tls *tls, int connection) {
  tls_say_end(tls);
  shutdown(connection, SHUT_WR);
  char ignored[4096];
  ssize_t got = 1;
  for (struct pollfd at = {.fd = connection, .events = POLLIN}; got > 0 && poll(&at, 1, goodbye_ms) > 0;) got = recv(connection, ignored, sizeof ignored, MSG_DONTWAIT);
  tls_close(tls);
}

void relay_notice_silence(int connection) {
  int seconds = silence_s, times = silences;
  setsockopt(connection, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
  setsockopt(connection, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
  setsockopt(connection, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}
