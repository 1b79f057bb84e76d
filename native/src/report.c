// Whoever reads our lines is a program: each line is one valid JSON object, whatever bytes a child has written.
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int write_all(int fd, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    ssize_t written = write(fd, at, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -1;
    at += written;
    length -= (size_t)written;
  }
  return 0;
}

// Length of the valid UTF-8 sequence at the start, 0 when there is none (RFC 3629: no overlong forms, no surrogates).
static size_t utf8_length(const unsigned char *at, size_t left) {
  size_t length = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
  if (length == 0 || length > left) return 0;
  for (size_t i = 1; i < length; i++)
    if ((at[i] & 0xc0) != 0x80) return 0;
  if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f)) return 0;
  if ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) return 0;
  return length;
}

size_t json_escape(const char *bytes, size_t length, char *out, size_t capacity) {
  size_t used = 0;
  for (size_t i = 0; i < length;) {
    const unsigned char *at = (const unsigned char *)bytes + i;
    size_t step = utf8_length(at, length - i);
    char piece[8];
    size_t size = step;
    if (step == 0) {
      size = (size_t)snprintf(piece, sizeof piece, "\\ufffd");
      step = 1;
    } else if (*at == '"' || *at == '\\') {
      size = (size_t)snprintf(piece, sizeof piece, "\\%c", *at);
    } else if (*at == '\n') {
      size = (size_t)snprintf(piece, sizeof piece, "\\n");
    } else if (*at < 0x20 || *at == 0x7f) {
      size = (size_t)snprintf(piece, sizeof piece, "\\u%04x", *at);
    } else {
      memcpy(piece, at, step);
    }
    if (used + size > capacity) break;
    memcpy(out + used, piece, size);
    used += size;
    i += step;
  }
  return used;
}

static void say_error(int error, const char *format, va_list arguments) {
  char text[1024], escaped[2048], line[2304];
  int length = vsnprintf(text, sizeof text, format, arguments);
  if (length < 0) length = 0;
  size_t kept = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
  size_t size = json_escape(text, kept, escaped, sizeof escaped);
  int total = error ? snprintf(line, sizeof line, "{\"error\":\"%.*s: %s\",\"errno\":%d}\n", (int)size, escaped, strerror(error), error)
                    : snprintf(line, sizeof line, "{\"error\":\"%.*s\"}\n", (int)size, escaped);
  if (write_all(STDERR_FILENO, line, (size_t)total) < 0) _exit(1);
}

_Noreturn void usage_error(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  say_error(0, format, arguments);
  va_end(arguments);
  exit(2);
}

_Noreturn void fail(int error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  say_error(error, format, arguments);
  va_end(arguments);
  exit(1);
}

void say(int fd, const char *format, ...) {
  static _Thread_local char line[32768]; // memory-target has a thread that says what it receives
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length < 0 || (size_t)length >= sizeof line - 1) fail(0, "a line of %d bytes is too long", length);
  line[length] = '\n';
  // EPIPE and EBADF: nobody listens any more. What we do does not depend on being heard.
  if (write_all(fd, line, (size_t)length + 1) < 0 && errno != EPIPE && errno != EBADF) fail(errno, "cannot write an event");
}
