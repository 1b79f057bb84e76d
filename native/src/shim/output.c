#include "shim/output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

static void open_pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) < 0) fail(errno, "shim: pipe");
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0) fail(errno, "shim: pipe");
}

void output_open(struct output *output) {
  open_pipe(output->out);
  open_pipe(output->err);
}

void output_remember(struct output *output, const char *bytes, size_t length) {
  if (length > tail_max) bytes += length - tail_max, length = tail_max;
  size_t kept = output->tail_size + length > tail_max ? tail_max - length : output->tail_size;
  memmove(output->tail, output->tail + output->tail_size - kept, kept);
  memcpy(output->tail + kept, bytes, length);
  output->tail_size = kept + length;
}

static void copy(struct output *output, int *pipe_end, int is_remembered) {
  static char bytes[chunk_max];
  if (*pipe_end < 0) return;
  ssize_t got = read(*pipe_end, bytes, sizeof bytes);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    close(*pipe_end);
    *pipe_end = -1;
    return;
  }
  logfile_append(&output->log, bytes, (size_t)got);
  if (is_remembered) output_remember(output, bytes, (size_t)got);
}

void output_copy(struct output *output, int is_launching) {
  copy(output, &output->out[0], 0);
  copy(output, &output->err[0], is_launching);
}

void output_place(const struct output *output) {
  // First away from both: a caller that left 1 or 2 closed has a pipe there, which dup2 onto itself would leave to be closed on exec.
  int out = fcntl(output->out[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1), err = fcntl(output->err[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (out < 0 || err < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) fail(errno, "shim: standard output and error");
}

void output_close_writers(const struct output *output) {
  close(output->out[1]);
  close(output->err[1]);
}

void output_close(const struct output *output) {
  const int ends[] = {output->out[0], output->out[1], output->err[0], output->err[1], output->log.fd};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (ends[i] >= 0) close(ends[i]);
}
