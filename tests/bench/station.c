/* The whole of a guest that only sends and receives: /init of an initramfs, told what to do on its console.
 *
 * address IP MTU | listen tcp|udp | send tcp|udp IP MILLISECONDS. Each answer is one line that begins with "= ". */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 5201, SEGMENT = 1 << 17, DATAGRAM = 1400, QUIET_US = 700000 };
static char buffer[SEGMENT];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static struct sockaddr_in at(const char *address) {
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    inet_aton(address, &where.sin_addr);
    return where;
}

static void configure(const char *address, int mtu) {
    int any = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request = {.ifr_name = "eth0"};
    struct sockaddr_in where = at(address);
    memcpy(&request.ifr_addr, &where, sizeof where);
    ioctl(any, SIOCSIFADDR, &request);
    where = at("255.255.255.0");
    memcpy(&request.ifr_netmask, &where, sizeof where);
    ioctl(any, SIOCSIFNETMASK, &request);
    request.ifr_mtu = mtu;
    ioctl(any, SIOCSIFMTU, &request);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    int failed = ioctl(any, SIOCSIFFLAGS, &request);
    close(any);
    puts(failed ? "= no eth0" : "= configured");
}

static void receive(int kind) {
    int server = socket(AF_INET, kind, 0), one = 1;
    struct sockaddr_in where = at("0.0.0.0");
    struct timeval quiet = {.tv_usec = QUIET_US};
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bind(server, (struct sockaddr *)&where, sizeof where);
    if (kind == SOCK_STREAM) listen(server, 1);
    puts("= listening");
    int from = kind == SOCK_STREAM ? accept(server, NULL, NULL) : server;
    double first = 0, last = 0, octets = 0;
    for (ssize_t got; (got = recv(from, buffer, sizeof buffer, 0)) > 0; octets += got) {
        last = now();
        if (!first) {
            first = last;
            setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet);
        }
    }
    if (from != server) close(from);
    close(server);
    printf("= got %.0f %.6f\n", octets, last - first);
}

static void transmit(int kind, const char *address, int milliseconds) {
    int out = socket(AF_INET, kind, 0);
    struct sockaddr_in where = at(address);
    size_t size = kind == SOCK_STREAM ? SEGMENT : DATAGRAM;
    double octets = 0;
    if (connect(out, (struct sockaddr *)&where, sizeof where) == 0)
        for (double end = now() + milliseconds / 1e3; now() < end;) {
            ssize_t sent = send(out, buffer, size, MSG_NOSIGNAL);
            if (sent > 0) octets += sent;
        }
    close(out);
    printf("= sent %.0f\n", octets);
}

int main(void) {
    char line[128], kind[8], address[32];
    int number;
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("= up");
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "address %31s %d", address, &number) == 2) configure(address, number);
        else if (sscanf(line, "send %7s %31s %d", kind, address, &number) == 3)
            transmit(strcmp(kind, "udp") ? SOCK_STREAM : SOCK_DGRAM, address, number);
        else if (sscanf(line, "listen %7s", kind) == 1) receive(strcmp(kind, "udp") ? SOCK_STREAM : SOCK_DGRAM);
    }
    for (;;) pause();
}
