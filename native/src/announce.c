// Gratuitous ARP: tells the neighbours on a link that an IPv4 address lives here now (RFC 5227, section 3; RFC 826).
// Both forms are sent, because some stacks only hear the request and some only the reply.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "report.h"

static void send_arp(int fd, int index, const unsigned char *mac, unsigned address, unsigned short operation) {
  struct ether_arp arp = {
      .ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER), .ar_pro = htons(ETH_P_IP), .ar_hln = ETH_ALEN, .ar_pln = 4, .ar_op = htons(operation)}};
  memcpy(arp.arp_sha, mac, ETH_ALEN);
  memcpy(arp.arp_spa, &address, 4);
  memcpy(arp.arp_tpa, &address, 4);
  if (operation == ARPOP_REPLY) memcpy(arp.arp_tha, mac, ETH_ALEN);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = index, .sll_halen = ETH_ALEN};
  memset(to.sll_addr, 0xff, ETH_ALEN);
  while (sendto(fd, &arp, sizeof arp, 0, (struct sockaddr *)&to, sizeof to) < 0)
    if (errno != EINTR) fail(errno, "announce: cannot send");
}

int announce_command(int argc, char **argv) {
  const char *interface = NULL, *address_text = NULL;
  long long count = 3, interval_ms = 50;
  const struct option_spec specs[] = {
      {.name = "interface", .text = &interface, .is_required = 1},
      {.name = "address", .text = &address_text, .is_required = 1},
      {.name = "count", .number = &count, .min = 1, .max = 1000},
      {.name = "interval-ms", .number = &interval_ms, .min = 0, .max = 60000},
  };
  int rest = parse_options("announce", argc, argv, specs, sizeof specs / sizeof *specs);
  if (rest < argc) usage_error("announce: unexpected argument \"%s\"", argv[rest]);
  require_device_name("announce: --interface", interface);
  unsigned address = require_ipv4("announce: --address", address_text);

  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP));
  if (fd < 0) fail(errno, "announce: cannot open a packet socket");
  struct ifreq request = {0};
  memcpy(request.ifr_name, interface, strlen(interface) + 1);
  if (ioctl(fd, SIOCGIFINDEX, &request) < 0) fail(errno, "announce: interface %s", interface);
  int index = request.ifr_ifindex;
  if (ioctl(fd, SIOCGIFHWADDR, &request) < 0) fail(errno, "announce: hardware address of %s", interface);
  if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER) fail(0, "announce: %s is not an Ethernet interface", interface);
  unsigned char mac[ETH_ALEN];
  memcpy(mac, request.ifr_hwaddr.sa_data, ETH_ALEN);

  for (long long i = 0; i < count; i++) {
    if (i > 0) {
      struct timespec pause = {.tv_sec = interval_ms / 1000, .tv_nsec = interval_ms % 1000 * 1000000};
      while (nanosleep(&pause, &pause) < 0 && errno == EINTR) continue;
    }
    send_arp(fd, index, mac, address, ARPOP_REQUEST);
    send_arp(fd, index, mac, address, ARPOP_REPLY);
  }
  say(STDOUT_FILENO, "{\"event\":\"announced\",\"count\":%lld,\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\"}", count, mac[0], mac[1], mac[2], mac[3],
      mac[4], mac[5]);
  return 0;
}
