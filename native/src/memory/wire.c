#include "wire.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

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

int writev_exactly(int fd, struct iovec *parts, int count) {
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

void wire_widen(int fd) {
  int bytes = 4 << 20;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}
