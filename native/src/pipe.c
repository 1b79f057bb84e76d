// Standard input and output to a unix stream socket. An end of input is passed on as a half close and answers still come back; when
// the peer has closed both ways the program ends, whatever its own input does. Neither direction can block the other.
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "report.h"

struct direction {
  char bytes[65536];
  size_t from, to;
  int is_read_closed, is_done;
};

static struct direction up, down;

// Reads into an empty buffer. A broken source counts as its end.
static void fill(int fd, struct direction *flow) {
  ssize_t got = read(fd, flow->bytes, sizeof flow->bytes);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) flow->is_read_closed = 1;
  else flow->from = 0, flow->to = (size_t)got;
}

// Writes what fits now. Sockets (Node's pipes are sockets too) by MSG_DONTWAIT; a real pipe takes PIPE_BUF bytes after POLLOUT without blocking.
// The descriptors' own flags stay as they are: they are shared with whoever started us.
static int empty(int fd, struct direction *flow) {
  ssize_t put = send(fd, flow->bytes + flow->from, flow->to - flow->from, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (put < 0 && errno == ENOTSOCK) {
    size_t left = flow->to - flow->from;
    put = write(fd, flow->bytes + flow->from, left < 4096 ? left : 4096);
  }
  if (put < 0) return errno == EINTR || errno == EAGAIN ? 0 : -1;
  flow->from += (size_t)put;
  return 0;
}

int pipe_command(int argc, char **argv) {
  const char *path = NULL;
  const struct option_spec specs[] = {{.name = "socket", .text = &path, .is_required = 1}};
  int rest = parse_options("pipe", argc, argv, specs, 1);
  (void)rest; // rsync appends a host and a command to its remote shell: what is behind "--" is not ours
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) usage_error("pipe: --socket: the path is longer than %zu bytes", sizeof address.sun_path - 1);
  memcpy(address.sun_path, path, strlen(path) + 1);

  int link = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (link < 0) fail(errno, "pipe: cannot make a socket");
  if (connect(link, (struct sockaddr *)&address, sizeof address) < 0) fail(errno, "pipe: cannot connect to %s", path);

  int is_hung_up = 0;
  while (!up.is_done || !down.is_done) {
    int up_has = up.from < up.to, down_has = down.from < down.to;
    if (!up.is_done && up.is_read_closed && !up_has) up.is_done = 1, shutdown(link, SHUT_WR);
    if (!down.is_done && down.is_read_closed && !down_has) down.is_done = 1, close(STDOUT_FILENO);
    if (up.is_done && down.is_done) break;
    struct pollfd at[3] = {
        {.fd = up.is_read_closed || up_has ? -1 : STDIN_FILENO, .events = POLLIN},
        {.fd = down_has ? STDOUT_FILENO : -1, .events = POLLOUT},
        {.fd = link, .events = (short)((up_has ? POLLOUT : 0) | (!down.is_read_closed && !down_has ? POLLIN : 0))},
    };
    if (is_hung_up && down_has) at[2].fd = -1; // poll reports POLLHUP for ever; nothing can be done there until standard output takes more
    if (poll(at, 3, -1) < 0) {
      if (errno == EINTR) continue;
      fail(errno, "pipe: poll");
    }
    if (at[0].revents) fill(STDIN_FILENO, &up);
    if (at[1].revents && empty(STDOUT_FILENO, &down) < 0) down.is_read_closed = 1, down.from = down.to = 0;
    if (up_has && at[2].revents & (POLLOUT | POLLERR) && empty(link, &up) < 0) up.is_read_closed = 1, up.from = up.to = 0;
    if (!down.is_read_closed && !down_has && at[2].revents & (POLLIN | POLLHUP)) fill(link, &down);
    // POLLHUP on a stream socket: closed both ways. Nobody can read our input any more.
    if (at[2].revents & POLLHUP) is_hung_up = up.is_read_closed = 1, up.from = up.to = 0;
    if (is_hung_up && down.is_read_closed && down.from == down.to) break;
  }
  return 0;
}
