// What the program says: one JSON object a line; events on standard output, errors on standard error.
#ifndef AETHER_REPORT_H
#define AETHER_REPORT_H

#include <stddef.h>

// {"error":…} on stderr, exit code 2.
_Noreturn void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

// {"error":…, "errno":…} on stderr, exit code 1. `error` 0: without errno.
_Noreturn void fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

// One whole line to fd, in one write; a reader that is gone is not an error.
void say(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Writes `length` bytes as the inside of a JSON string; invalid UTF-8 becomes U+FFFD. Returns the length, cut at a whole character to fit.
size_t json_escape(const char *bytes, size_t length, char *out, size_t capacity);

// All bytes, however many writes it takes; -1 with errno when that fails.
int write_all(int fd, const void *bytes, size_t length);

#endif
