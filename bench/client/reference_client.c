/* The cheapest client there can be: it sends, reads, stamps, and knows when an answer has ended. The floor for CPU and lateness.
 *
 *   cc -O2 -o reference_client reference_client.c
 *   ./reference_client --port 8000 --threads 128 --requests 640 --log first.csv
 *
 * Closed loop: every connection sends its next request when its answer has ended. An answer has ended when a read ends in the
 * chunked terminator: true for reference_server.c, which writes events whole, but this is no general HTTP client, and it keeps
 * stamps only, no bytes. Prints one JSON line: requests, reads, bytes, seconds of the window, CPU seconds in it. The log has one
 * line per request: `id,sent,first`, seconds of CLOCK_MONOTONIC.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 65536, READ_BYTES = 65536 };

typedef struct {
    double sent, first, *stamps;
    int count, cap;
} Request;

static Request *requests;
static int of_fd[MAX_FDS], total = 640, next_request, ended;
static long long reads, bytes;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void send_next(int fd) {
    static const char body[] = "{\"model\":\"reference\",\"prompt\":\"Once upon a time\",\"max_tokens\":128,\"stream\":true}";
    char out[1024];
    if (next_request == total) return;
    int i = of_fd[fd] = next_request++;
    int n = sprintf(out,
                    "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nx-request-id: %d\r\n"
                    "Content-Length: %zu\r\n\r\n%s",
                    i, sizeof body - 1, body);
    requests[i].sent = now();
    if (send(fd, out, n, MSG_NOSIGNAL) != n) perror("send"), exit(1);
}

static void on_readable(int fd) {
    static char in[READ_BYTES];
    ssize_t n = recv(fd, in, sizeof in, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) fprintf(stderr, "the server hung up\n"), exit(1);
    Request *r = &requests[of_fd[fd]];
    double t = now();
    if (!r->count) r->first = t;
    if (r->count == r->cap) r->stamps = realloc(r->stamps, (r->cap = r->cap ? 2 * r->cap : 128) * sizeof(double));
    r->stamps[r->count++] = t;
    reads++, bytes += n;
    if (n >= 5 && !memcmp(in + n - 5, "0\r\n\r\n", 5)) ended++, send_next(fd);
}

static int dial(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) perror("connect"), exit(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

int main(int argc, char **argv) {
    int port = 8000, threads = 128;
    const char *log_path = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];
        if (!strcmp(k, "--port")) port = atoi(v);
        else if (!strcmp(k, "--threads")) threads = atoi(v);
        else if (!strcmp(k, "--requests")) total = atoi(v);
        else if (!strcmp(k, "--log")) log_path = v;
        else return fprintf(stderr, "unknown option %s\n", k), 2;
    }
    requests = calloc(total, sizeof *requests);
    int epfd = epoll_create1(0), *fds = malloc(threads * sizeof(int));
    for (int i = 0; i < threads; i++) {
        fds[i] = dial(port);
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fds[i]};
        epoll_ctl(epfd, EPOLL_CTL_ADD, fds[i], &e);
    }
    double t0 = now(), c0 = cpu_s();
    for (int i = 0; i < threads; i++) send_next(fds[i]);
    struct epoll_event ready[256];
    while (ended < total) {
        int n = epoll_wait(epfd, ready, 256, -1);
        for (int i = 0; i < n; i++) on_readable(ready[i].data.fd);
    }
    double window = now() - t0, cpu = cpu_s() - c0;
    printf("{\"requests\": %d, \"reads\": %lld, \"bytes\": %lld, \"window_s\": %.4f, \"cpu_s\": %.4f}\n", total, reads, bytes,
           window, cpu);
    if (log_path) {
        FILE *f = fopen(log_path, "w");
        for (int i = 0; i < total; i++) fprintf(f, "%d,%.6f,%.6f\n", i, requests[i].sent, requests[i].first);
        fclose(f);
    }
    return 0;
}
