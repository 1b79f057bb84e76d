#include "relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "report.h"

enum { lane_bytes = 64 << 10, buffer_bytes = 4 << 20, goodbye_ms = 5000, silence_s = 10, silences = 3 };
static const char greeting[8] = "relay/1";

struct relay_memory {
  int has_begun;
  uint64_t read_before, written_before; // the kernel's counts when it began
  size_t size;
  char said[];
};

struct relay_memory *relay_remember(size_t bytes) {
  struct relay_memory *memory = mmap(NULL, sizeof *memory + bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  memory->size = bytes;
  return memory;
}

// How much was ever read from a socket, and written to it. The two questions for each are asked until nothing has come, or has been taken, between them.
static int count(int local, uint64_t *was_read, uint64_t *written) {
  struct tcp_info before, after;
  for (int tries = 0; tries < 10000; tries++) {
    int unread, unacknowledged;
    socklen_t length = sizeof before, length_after = sizeof after;
    if (getsockopt(local, IPPROTO_TCP, TCP_INFO, &before, &length) < 0 || ioctl(local, SIOCINQ, &unread) < 0 || ioctl(local, SIOCOUTQ, &unacknowledged) < 0 ||
        getsockopt(local, IPPROTO_TCP, TCP_INFO, &after, &length_after) < 0)
      return -1;
    if (before.tcpi_bytes_received != after.tcpi_bytes_received || before.tcpi_bytes_acked != after.tcpi_bytes_acked) continue;
    *was_read = after.tcpi_bytes_received - (uint64_t)unread;
    *written = after.tcpi_bytes_acked + (uint64_t)unacknowledged;
    return 0;
  }
  return errno = EBUSY, -1;
}

int relay_begin(struct relay_memory *memory, int local) {
  if (!memory->has_begun && count(local, &memory->read_before, &memory->written_before) < 0) return -1;
  memory->has_begun = 1;
  return 0;
}

int relay_has_begun(const struct relay_memory *memory) { return memory->has_begun; }

// What was read from the peer and is not written yet.
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

// The part of what was said from `at` on that lies in one piece, up to `end`.
static size_t piece(const struct relay_memory *memory, uint64_t at, uint64_t end) {
  uint64_t length = end - at, to_edge = memory->size - at % memory->size;
  if (length > to_edge) length = to_edge;
  return length > lane_bytes ? lane_bytes : (size_t)length;
}

// Reads what `local` says into the memory, behind `end`. It stays unread until it is there: whoever is killed here has lost nothing. As recv.
static ssize_t hear(struct relay_memory *memory, int local, uint64_t end) {
  char *at = memory->said + end % memory->size;
  ssize_t got = recv(local, at, piece(memory, end, end + lane_bytes), MSG_DONTWAIT | MSG_PEEK);
  return got > 0 ? recv(local, at, (size_t)got, MSG_DONTWAIT | MSG_TRUNC) : got; // dropped, not copied again
}

struct welcome {
  char greeting[8];
  uint64_t given; // to the sender's local socket, so far
};

// How much the peer's local socket has been given.
static enum relay_end greet(struct tls *tls, uint64_t given, uint64_t *peer_given) {
  struct welcome ours = {.given = given}, theirs;
  memcpy(ours.greeting, greeting, sizeof greeting);
  if (tls_write(tls, &ours, sizeof ours) < 0 || tls_flush(tls) < 0 || tls_read(tls, &theirs, sizeof theirs) < 0) return RELAY_LOST;
  *peer_given = theirs.given;
  return memcmp(theirs.greeting, greeting, sizeof greeting) == 0 ? RELAY_HERE : RELAY_GAP;
}

static int is_offered(int *offers) {
  char ignored;
  if (*offers < 0) return 0;
  ssize_t got = recv(*offers, &ignored, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) *offers = -1; // who offered has ended
  return got > 0;
}

enum relay_end relay(struct tls *tls, int connection, int local, struct relay_memory *memory, int offers) {
  static struct lane in;
  uint64_t said, given, sent;
  int is_flushed = 1, has_local_ended = 0, has_peer_ended = 0;
  if (count(local, &said, &given) < 0) return RELAY_GAP;
  said -= memory->read_before;
  enum relay_end met = greet(tls, given - memory->written_before, &sent);
  if (met != RELAY_HERE) return met;
  if (sent > said || said - sent > memory->size) return RELAY_GAP;
  in.from = in.to = 0;
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
    if (sent == said && is_flushed && !has_local_ended) {
      ssize_t got = hear(memory, local, said);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) has_local_ended = 1;
      said += got > 0 ? (uint64_t)got : 0;
      has_moved |= got > 0 || has_local_ended;
    }
    if (sent < said) {
      ssize_t put = tls_write_some(tls, memory->said + sent % memory->size, piece(memory, sent, said));
      if (put < 0 && errno != EAGAIN) return RELAY_LOST;
      sent += put > 0 ? (uint64_t)put : 0;
      has_moved |= put > 0;
      is_flushed = 0;
    }
    if (sent == said && !is_flushed) {
      is_flushed = tls_flush_some(tls) == 0;
      if (!is_flushed && errno != EAGAIN) return RELAY_LOST;
      has_moved |= is_flushed;
    }
    if (has_local_ended && sent == said && is_flushed) return RELAY_HERE;
    if (has_moved) continue;
    short peer_events = (short)((waiting(&in) == 0 && !has_local_ended ? POLLIN : 0) | (is_flushed ? 0 : POLLOUT));
    short local_events = (short)(has_local_ended ? 0 : (waiting(&in) > 0 ? POLLOUT : 0) | (sent == said && is_flushed ? POLLIN : 0));
    // A side from which nothing is wanted now is not looked at: its end would be told again and again.
    struct pollfd at[3] = {{.fd = peer_events ? connection : -1, .events = peer_events}, {.fd = local_events ? local : -1, .events = local_events}, {.fd = offers, .events = POLLIN}};
    if (poll(at, 3, -1) < 0 && errno != EINTR) return RELAY_LOST;
    if (at[2].revents && is_offered(&offers)) return RELAY_LOST;
  }
}

// What one side says, to the other one. 0: it says no more, or the other one takes no more.
static int pass_on(int from, int to) {
  static char bytes[lane_bytes];
  ssize_t got = read(from, bytes, sizeof bytes);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  return got > 0 && write_all(to, bytes, (size_t)got) == 0;
}

enum relay_end relay_plain(int data, int local) {
  struct pollfd at[2] = {{.fd = data, .events = POLLIN}, {.fd = local, .events = POLLIN}};
  for (;;) {
    if (poll(at, 2, -1) < 0) {
      if (errno != EINTR) return RELAY_LOST;
      continue;
    }
    if (at[1].revents && !pass_on(local, data)) return RELAY_HERE;
    if (at[0].revents && !pass_on(data, local)) return RELAY_PEER;
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

void relay_prepare(struct tls *tls, int connection) {
  int seconds = silence_s, times = silences, bytes = buffer_bytes;
  tls_outlive(tls);
  setsockopt(connection, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes); // the kernel doubles it
  setsockopt(connection, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(connection, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
  setsockopt(connection, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
  setsockopt(connection, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}
