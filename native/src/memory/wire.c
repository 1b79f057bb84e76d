#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdpass.h"
#include "hand_over.h"
#include "report.h"
#include "tls.h"

int read_exactly(int fd, void *bytes, size_t length) {
  char *at = bytes;
  while (length > 0) {
    ssize_t got = read(fd, at, length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) return errno = EPIPE, -1;
    at += got;
    length -= (size_t)got;
  }
  return 0;
}

static int writev_exactly(int fd, struct iovec *parts, int count) {
  while (count > 0) {
    ssize_t put = writev(fd, parts, count);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return -1;
    while (count > 0 && (size_t)put >= parts->iov_len) {
      put -= (ssize_t)parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (char *)parts->iov_base + put;
      parts->iov_len -= (size_t)put;
    }
  }
  return 0;
}

// More may be on its way to the reader: fewer turns on a busy processor.
static void widen(int fd) {
  int bytes = 4 << 20;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

// What our caller says of a connection, through `data`: five texts, each with its length before it. The secret came to both callers over the link of the two agents: whoever
// knows it is meant for this move.
enum { offer_texts = 5, max_text = 1 << 16 };
struct offer {
  char *texts[offer_texts]; // peer, secret, chain, key, bundle
};

static void forget_offer(struct offer *offer) {
  for (int i = 0; i < offer_texts; i++) {
    if (offer->texts[i]) explicit_bzero(offer->texts[i], strlen(offer->texts[i]));
    free(offer->texts[i]);
  }
}

static int read_offer(int data, struct offer *offer) {
  *offer = (struct offer){0};
  for (int i = 0; i < offer_texts; i++) {
    uint32_t length;
    if (read_exactly(data, &length, sizeof length) < 0 || length == 0 || length > max_text) return -1;
    if (!(offer->texts[i] = calloc(1, length + 1)) || read_exactly(data, offer->texts[i], length) < 0) return -1;
  }
  return 0;
}

// In constant time.
static int is_same(const char *a, const char *b, size_t length) {
  unsigned char differs = 0;
  for (size_t i = 0; i < length; i++) differs |= (unsigned char)(a[i] ^ b[i]);
  return differs == 0;
}

// The client says the secret, the server that it is the right one: before that, a client of TLS 1.3 does not know whether it was let in.
static int greet(struct tls *tls, const char *secret, int is_server) {
  size_t length = strlen(secret);
  char said[256], welcome = 'w';
  if (length > sizeof said) return -1;
  if (!is_server) return tls_write(tls, secret, length) < 0 || tls_flush(tls) < 0 || tls_read(tls, &welcome, 1) < 0 ? -1 : 0;
  if (tls_read(tls, said, length) < 0 || !is_same(said, secret, length)) return -1;
  return tls_write(tls, &welcome, 1) < 0 || tls_flush(tls) < 0 ? -1 : 0;
}

// Takes the connection that was handed through `data`, and makes it ours. 0; or -1 and `*reason`.
static int take_connection(struct wire *wire, int is_server, const char **reason) {
  int number, fd = receive_fd(wire->data, &number);
  struct offer offer;
  *reason = "the connection was not handed over whole";
  int is_read = read_offer(wire->data, &offer) == 0;
  if (fd >= 0 && number == HANDED_CONNECTION && is_read) {
    struct tls_identity identity = {.peer = offer.texts[0], .chain = offer.texts[2], .key = offer.texts[3], .bundle = offer.texts[4]};
    // The other side's agent reads up to this word, and then hands its end to its helper.
    if (is_server && write(fd, HANDED_WORD, strlen(HANDED_WORD)) < 0) *reason = "the peer has closed the connection";
    else wire->tls = tls_open(fd, wire->data, &identity, is_server, reason);
    if (wire->tls && greet(wire->tls, offer.texts[1], is_server) < 0) {
      *reason = is_server ? "the peer does not know the secret of this move" : "the peer did not let us in";
      tls_close(wire->tls);
      wire->tls = NULL;
      fd = -1;
    }
  }
  forget_offer(&offer);
  if (wire->tls) {
    tls_be_patient(wire->tls);
    wire->connection = fd;
    return 0;
  }
  if (fd >= 0) close(fd);
  return -1;
}

int wire_accept(struct wire *wire, int data, const char **reason) {
  *wire = (struct wire){.data = data};
  widen(data);
  for (;;) {
    unsigned char first;
    ssize_t got = recv(data, &first, 1, MSG_PEEK);
    if (got < 0 && errno == EINTR) continue;
    *reason = "the stream of pages broke";
    if (got <= 0) return -1;
    if (first != (HANDED_CONNECTION & 255)) return 0;
    if (take_connection(wire, 1, reason) == 0) return say(STDOUT_FILENO, "{\"event\":\"connection\"}"), 0;
    say(STDOUT_FILENO, "{\"event\":\"connection\",\"reason\":\"%s\"}", *reason);
  }
}

int wire_open(struct wire *wire, int data, int is_handed, const char **reason) {
  *wire = (struct wire){.data = data};
  widen(data);
  if (!is_handed) return 0;
  if (take_connection(wire, 0, reason) < 0) return -1;
  say(STDOUT_FILENO, "{\"event\":\"connection\"}");
  return 0;
}

int wire_read(struct wire *wire, void *bytes, size_t length) { return wire->tls ? tls_read(wire->tls, bytes, length) : read_exactly(wire->data, bytes, length); }

int wire_write(struct wire *wire, struct iovec *parts, int count) {
  if (!wire->tls) return writev_exactly(wire->data, parts, count);
  for (int i = 0; i < count; i++)
    if (tls_write(wire->tls, parts[i].iov_base, parts[i].iov_len) < 0) return -1;
  return 0;
}

int wire_flush(struct wire *wire) { return wire->tls ? tls_flush(wire->tls) : 0; }

// The reader says nothing after its greeting: whatever comes is its end.
int wire_is_over(const struct wire *wire) {
  struct pollfd at = {.fd = wire->tls ? wire->connection : -1, .events = POLLIN | POLLRDHUP};
  return poll(&at, 1, 0) != 0;
}

uint64_t wire_bytes(const struct wire *wire) { return wire->tls ? tls_wire_bytes(wire->tls) : 0; }

double wire_link_ms(const struct wire *wire) { return wire->tls ? tls_link_ms(wire->tls) : 0; }

void wire_close(struct wire *wire) {
  if (wire->tls) tls_close(wire->tls);
  close(wire->data);
}
