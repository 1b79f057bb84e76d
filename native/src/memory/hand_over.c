// hand-over: sends the connection on descriptor 3 to the helper at the other end of descriptor 4, and ends.
#include "hand_over.h"

#include <errno.h>
#include <poll.h>

#include "commands.h"
#include "fdpass.h"
#include "options.h"
#include "report.h"

enum { connection_fd = 3, helper_fd = 4, deadline_ms = 5000 };

int hand_over_command(int argc, char **argv) {
  parse_options("hand-over", argc, argv, NULL, 0);
  // The agent's end does not block.
  while (send_fd(helper_fd, connection_fd, HANDED_CONNECTION) < 0) {
    struct pollfd at = {.fd = helper_fd, .events = POLLOUT};
    if (errno != EAGAIN || poll(&at, 1, deadline_ms) != 1) fail(errno, "hand-over: the helper does not take it");
  }
  return 0;
}
