// Keeps the packets for an address while its workload is between two hosts, and writes them back in the order in which they came.
// A TUN device is the queue: whoever routes the address to it hands the packets over; what is written into it is routed again, so the
// route must point to the address's new place before the release. Fail-open: at the deadline everything is released, owner or not.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "report.h"

enum { packet_max = 65536, queue_length = 20000, mtu = 65535, batch = 256 };

static struct {
  int tun;
  unsigned address;
  // Kept packets: [uint32 length][bytes]… in one mapping that costs memory only where it is written.
  unsigned char *kept;
  size_t used, capacity;
  long long held, bytes, dropped, replayed;
  int is_released;
  long long deadline_ms, end_ms;
} hold;

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int read_setting(const char *device, const char *name) {
  char path[128];
  snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/%s", device, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  char value = '0';
  if (fd < 0 || read(fd, &value, 1) != 1) fail(errno, "hold: cannot read %s", path);
  close(fd);
  return value - '0';
}

static void write_setting(const char *family, const char *device, const char *name, const char *value, int is_required) {
  char path[128];
  snprintf(path, sizeof path, "/proc/sys/net/%s/conf/%s/%s", family, device, name);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  int is_written = fd >= 0 && write(fd, value, 1) == 1;
  if (!is_written && is_required) fail(errno, "hold: cannot write %s", path);
  if (fd >= 0) close(fd);
}

static void change_device(int control, unsigned long operation, struct ifreq *request, const char *what) {
  if (ioctl(control, operation, request) < 0) fail(errno, "hold: %s of %s", what, request->ifr_name);
}

static void open_device(const char *device) {
  hold.tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (hold.tun < 0) fail(errno, "hold: /dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  memcpy(request.ifr_name, device, strlen(device) + 1);
  change_device(hold.tun, TUNSETIFF, &request, "making");

  write_setting("ipv6", device, "disable_ipv6", "1", 0); // absent where the kernel has no IPv6
  write_setting("ipv4", device, "accept_local", "1", 1);
  write_setting("ipv4", device, "forwarding", "1", 1);
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) fail(errno, "hold: cannot make a socket");
  // The kernel uses the larger of the device's and "all". Where "all" is strict, loose (2) on the device is what lets a client's packet
  // come back in over it; but loose too refuses everything on a device without an address (fib_validate_source), so it gets the dummy
  // address of RFC 7600, as a /32 that nobody is routed to.
  int is_checked = read_setting("all", "rp_filter") != 0;
  write_setting("ipv4", device, "rp_filter", is_checked ? "2" : "0", 1);
  if (is_checked) {
    struct sockaddr_in dummy = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000008)};
    memcpy(&request.ifr_addr, &dummy, sizeof dummy);
    change_device(control, SIOCSIFADDR, &request, "address");
  }
  // The largest MTU, so that a packet from a jumbo-frame link is kept and not answered with "too big"; a queue that survives a burst
  // while we are not scheduled.
  request.ifr_mtu = mtu;
  change_device(control, SIOCSIFMTU, &request, "MTU");
  request.ifr_qlen = queue_length;
  change_device(control, SIOCSIFTXQLEN, &request, "queue length");
  change_device(control, SIOCGIFFLAGS, &request, "flags");
  request.ifr_flags |= IFF_UP;
  change_device(control, SIOCSIFFLAGS, &request, "bringing up");
  close(control);
}

static int write_back(const unsigned char *packet, size_t length) {
  for (;;) {
    if (write(hold.tun, packet, length) >= 0) return 1;
    if (errno == EAGAIN || errno == ENOBUFS) {
      struct pollfd at = {.fd = hold.tun, .events = POLLOUT};
      if (poll(&at, 1, 100) > 0) continue;
    } else if (errno == EINTR) {
      continue;
    }
    return 0;
  }
}

static void keep(const unsigned char *packet, size_t length) {
  uint32_t size = (uint32_t)length;
  if (hold.used + sizeof size + length > hold.capacity) {
    hold.dropped++;
    return;
  }
  memcpy(hold.kept + hold.used, &size, sizeof size);
  memcpy(hold.kept + hold.used + sizeof size, packet, length);
  hold.used += sizeof size + length;
  hold.held++;
  hold.bytes += size;
}

// Takes what the device has now, at most `limit` packets: a flood must not keep us from hearing commands and the deadline.
static void take(int limit) {
  static unsigned char packet[packet_max];
  for (; limit > 0; limit--) {
    ssize_t length = read(hold.tun, packet, sizeof packet);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == EAGAIN) return;
    if (length < 0) fail(errno, "hold: reading the device");
    unsigned destination = 0;
    if (length >= 20 && packet[0] >> 4 == 4) memcpy(&destination, packet + 16, 4);
    if (destination != hold.address) hold.dropped++;
    else if (!hold.is_released) keep(packet, (size_t)length);
    else if (write_back(packet, (size_t)length)) hold.replayed++;
    else hold.dropped++;
  }
}

static void release(int answers) {
  if (!hold.is_released) {
    take(queue_length); // what is in the device's queue came before anything that is routed from now on
    hold.is_released = 1;
    for (size_t at = 0; at < hold.used;) {
      uint32_t size;
      memcpy(&size, hold.kept + at, sizeof size);
      if (write_back(hold.kept + at + sizeof size, size)) hold.replayed++;
      else hold.dropped++;
      at += sizeof size + size;
    }
    hold.used = 0;
    hold.bytes = 0;
    madvise(hold.kept, hold.capacity, MADV_DONTNEED);
  }
  say(answers, "{\"event\":\"released\",\"held\":%lld,\"replayed\":%lld,\"dropped\":%lld}", hold.held, hold.replayed, hold.dropped);
}

// Returns 0 on quit.
static int obey(const char *line, int answers) {
  if (strcmp(line, "quit") == 0) return 0;
  if (strcmp(line, "release") == 0) release(answers);
  else if (strcmp(line, "extend") == 0) hold.end_ms = now_ms() + hold.deadline_ms;
  else if (strcmp(line, "status") == 0)
    say(answers, "{\"event\":\"status\",\"held\":%lld,\"bytes\":%lld,\"dropped\":%lld}", hold.held, hold.bytes, hold.dropped);
  else say(STDERR_FILENO, "{\"error\":\"hold: unknown command; release, extend, status or quit\"}");
  return 1;
}

struct speaker {
  int in, out;
  char line[64];
  size_t length;
};

// Reads commands. Returns 0 on quit, -1 when the input has ended.
static int listen_once(struct speaker *from) {
  char byte;
  ssize_t got;
  while ((got = read(from->in, &byte, 1)) < 0 && errno == EINTR) continue;
  if (got <= 0) return -1;
  if (byte != '\n') {
    if (from->length < sizeof from->line - 1) from->line[from->length++] = byte;
    return 1;
  }
  from->line[from->length] = '\0';
  from->length = 0;
  return obey(from->line, from->out);
}

// Whoever comes after the one that started us speaks here: what is kept outlives its owner.
static int open_control(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) usage_error("hold: --control: the path is longer than %zu bytes", sizeof address.sun_path - 1);
  memcpy(address.sun_path, path, strlen(path) + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || (unlink(path) < 0 && errno != ENOENT)) fail(errno, "hold: --control %s", path);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0600) < 0 || listen(fd, 4) < 0) fail(errno, "hold: --control %s", path);
  return fd;
}

int hold_command(int argc, char **argv) {
  const char *device = NULL, *address = NULL, *control = NULL;
  long long max_bytes = 0;
  const struct option_spec specs[] = {
      {.name = "device", .text = &device, .is_required = 1},
      {.name = "address", .text = &address, .is_required = 1},
      {.name = "deadline-ms", .number = &hold.deadline_ms, .min = 1, .max = 86400000, .is_required = 1},
      {.name = "max-bytes", .number = &max_bytes, .min = 1, .max = 1LL << 33, .is_required = 1},
      {.name = "control", .text = &control},
  };
  int rest = parse_options("hold", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest < argc) usage_error("hold: unexpected argument \"%s\"", argv[rest]);
  require_device_name("hold: --device", device);
  hold.address = require_ipv4("hold: --address", address);
  hold.end_ms = now_ms() + hold.deadline_ms;

  hold.capacity = (size_t)max_bytes;
  hold.kept = mmap(NULL, hold.capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (hold.kept == MAP_FAILED) fail(errno, "hold: no address space for %lld bytes", max_bytes);
  open_device(device);
  struct speaker owner = {.in = STDIN_FILENO, .out = STDOUT_FILENO}, later = {.in = -1, .out = -1};
  int door = control ? open_control(control) : -1, answer = 1;
  say(STDOUT_FILENO, "{\"event\":\"ready\"}");
  while (answer != 0) {
    long long left_ms = hold.end_ms - now_ms();
    if (left_ms <= 0) {
      if (!hold.is_released) release(STDOUT_FILENO);
      break;
    }
    struct pollfd at[4] = {{.fd = hold.tun, .events = POLLIN},
                           {.fd = owner.in, .events = POLLIN},
                           {.fd = later.in < 0 ? door : -1, .events = POLLIN},
                           {.fd = later.in, .events = POLLIN}};
    if (poll(at, 4, (int)left_ms) < 0) {
      if (errno == EINTR) continue;
      fail(errno, "hold: poll");
    }
    if (at[0].revents) take(batch);
    if (at[1].revents && (answer = listen_once(&owner)) < 0) owner.in = -1;
    if (at[2].revents) later = (struct speaker){.in = accept4(door, NULL, NULL, SOCK_CLOEXEC)}, later.out = later.in;
    if (at[3].revents && answer != 0 && (answer = listen_once(&later)) < 0) close(later.in), later.in = -1;
  }
  if (control) unlink(control);
  return 0;
}
