/* What a guest does behind a VLAN tag, without VLANs in its kernel: tag IFNAME NUMBER MAC ADDRESS TARGET
 * Asks by ARP for TARGET, then for an ICMP echo, in frames with an 802.1Q tag. Prints the tag and the MAC address of the
 * ARP answer, then "echo" and the tag of the echo's. Exit status 1 when there is no answer within six seconds. */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef PACKET_AUXDATA
#define PACKET_AUXDATA 8
#endif
#define TAGGED (1 << 4)

static int wire, number;
static uint8_t mine[6], theirs[6], source[4], target[4], frame[128], answer[2048];

static void begin(const uint8_t *to, uint16_t kind) {
  memset(frame, 0, sizeof frame);
  memcpy(frame, to, 6);
  memcpy(frame + 6, mine, 6);
  frame[12] = 0x81, frame[14] = number >> 8, frame[15] = number, frame[16] = kind >> 8, frame[17] = kind;
}

/* The tag of a frame that came in; its octets without a tag are in `answer`. -1 when none came. */
static int receive(void) {
  char room[256];
  struct iovec data = {answer, sizeof answer};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  if (recvmsg(wire, &message, 0) < 42) return -1;
  for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one))
    if (one->cmsg_level == SOL_PACKET && one->cmsg_type == PACKET_AUXDATA) {
      struct tpacket_auxdata *told = (struct tpacket_auxdata *)CMSG_DATA(one);
      if (told->tp_status & TAGGED) return told->tp_vlan_tci & 0xfff;
    }
  return 0;
}

static int asked(int length, int (*is_answer)(void)) {
  for (int try = 0; try < 3; try++) {
    if (write(wire, frame, length) != length) return -1;
    for (time_t end = time(0) + 2; time(0) < end;) {
      int tag = receive();
      if (tag >= 0 && is_answer()) return tag;
    }
  }
  return -1;
}

static int is_arp(void) { return !memcmp(answer + 12, "\x08\x06", 2) && answer[21] == 2 && !memcmp(answer + 28, target, 4); }

static int is_echo(void) { return !memcmp(answer + 12, "\x08\x00", 2) && answer[23] == 1 && answer[34] == 0 && !memcmp(answer + 26, target, 4); }

static uint16_t sum(const uint8_t *data, int length) {
  uint32_t total = 0;
  for (int i = 0; i < length; i += 2) total += data[i] << 8 | data[i + 1];
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return ~total;
}

int main(int count, char **words) {
  if (count != 6) return 2;
  struct timeval patience = {0, 300000};
  int yes = 1, tag;
  wire = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  struct sockaddr_ll place = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(words[1])};
  if (wire < 0 || bind(wire, (struct sockaddr *)&place, sizeof place)) return perror("socket"), 2;
  /* A kernel with VLANs tells the interface which tags it wants: it gets no others, unless it wants everything. */
  struct packet_mreq everything = {.mr_ifindex = place.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  setsockopt(wire, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &everything, sizeof everything);
  setsockopt(wire, SOL_PACKET, PACKET_AUXDATA, &yes, sizeof yes);
  setsockopt(wire, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  number = atoi(words[2]);
  sscanf(words[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mine, mine + 1, mine + 2, mine + 3, mine + 4, mine + 5);
  inet_pton(AF_INET, words[4], source);
  inet_pton(AF_INET, words[5], target);

  begin((const uint8_t *)"\xff\xff\xff\xff\xff\xff", 0x0806);
  memcpy(frame + 18, "\0\1\x08\0\6\4\0\1", 8);
  memcpy(frame + 26, mine, 6), memcpy(frame + 32, source, 4), memcpy(frame + 42, target, 4);
  if ((tag = asked(64, is_arp)) < 0) return puts("no answer"), 1;
  memcpy(theirs, answer + 22, 6);
  printf("%d %02x:%02x:%02x:%02x:%02x:%02x\n", tag, theirs[0], theirs[1], theirs[2], theirs[3], theirs[4], theirs[5]);

  begin(theirs, 0x0800);
  uint8_t *ip = frame + 18;
  memcpy(ip, "\x45\0\0\x2c\0\1\0\0\x40\1\0\0", 12);
  memcpy(ip + 12, source, 4), memcpy(ip + 16, target, 4);
  uint16_t check = sum(ip, 20);
  ip[10] = check >> 8, ip[11] = check;
  memcpy(ip + 20, "\x08\0\0\0tagtagtag", 13);
  check = sum(ip + 20, 24);
  ip[22] = check >> 8, ip[23] = check;
  if ((tag = asked(64, is_echo)) < 0) return puts("no echo"), 1;
  printf("echo %d\n", tag);
  return 0;
}
