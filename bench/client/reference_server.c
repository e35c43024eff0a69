/* A streaming completion server whose send times are known: the yardstick for load clients.
 *
 * It answers every POST with an SSE stream in the shape of OpenAI's /v1/completions (HTTP/1.1, chunked, keep-alive), one write per
 * event (--per-write N: N events per write). Event k of a stream is sent at (arrival of the request + first-ms + phase + k * gap-ms), or as fast as the sockets
 * take them when gap-ms is 0. Just before each write the monotonic clock is read; on SIGTERM or SIGINT the times go to the log:
 * one line per request, `id,arrival,t0,t1,...` in seconds of CLOCK_MONOTONIC, and one summary line goes to stdout.
 *
 *   cc -O2 -o reference_server reference_server.c
 *   ./reference_server --port 8000 --chunks 128 --gap-ms 30 --first-ms 50 --phase-ms 30 --log sent.csv
 *
 * One thread, epoll with a nanosecond timeout, Linux only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 65536, MAX_REQUEST = 1 << 20, ID_BYTES = 64 };

typedef struct {
    char id[ID_BYTES];
    double arrival;
    double *sent; /* one time per event, true order */
    int count;
} Log;

typedef struct {
    char *in;      /* request bytes so far */
    int in_len;
    int sending;   /* a stream is in progress */
    int next;      /* index of the next event */
    double due;    /* when to send it */
    int blocked;   /* the socket is full; wait for EPOLLOUT */
    const char *out; /* the events being written, in `events` */
    int out_len;
    int log;       /* index into logs */
    int heap_at;   /* position in the heap, -1 if absent */
} Stream;

static Stream *streams[MAX_FDS];
static int heap[MAX_FDS], heap_len;
static Log *logs;
static int logs_len, logs_cap;
static char *events;    /* all events of an answer, rendered once: every answer is the same */
static int *event_ends; /* end of event k in `events` */
static int chunks = 128, per_write = 1, epfd;
static double gap_s = 0.03, first_s = 0.0, phase_s = 0.0;
static volatile sig_atomic_t stopping;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* ---- heap of file descriptors by due time ---- */
static void heap_swap(int a, int b) {
    int t = heap[a];
    heap[a] = heap[b], heap[b] = t;
    streams[heap[a]]->heap_at = a, streams[heap[b]]->heap_at = b;
}

static int earlier(int a, int b) { return streams[heap[a]]->due < streams[heap[b]]->due; }

static void sift_up(int i) {
    for (; i && earlier(i, (i - 1) / 2); i = (i - 1) / 2) heap_swap(i, (i - 1) / 2);
}

static void sift_down(int i) {
    for (int c; (c = 2 * i + 1) < heap_len; i = c) {
        if (c + 1 < heap_len && earlier(c + 1, c)) c++;
        if (!earlier(c, i)) return;
        heap_swap(i, c);
    }
}

static void heap_add(int fd) {
    streams[fd]->heap_at = heap_len;
    heap[heap_len++] = fd;
    sift_up(heap_len - 1);
}

static void heap_remove(int fd) {
    int i = streams[fd]->heap_at;
    if (i < 0) return;
    heap_swap(i, --heap_len);
    streams[fd]->heap_at = -1;
    if (i < heap_len) sift_down(i), sift_up(i);
}

/* ---- connections ---- */
static void hang_up(int fd) {
    heap_remove(fd);
    free(streams[fd]->in);
    free(streams[fd]);
    streams[fd] = NULL;
    close(fd);
}

static void watch(int fd, int op, unsigned mask) {
    struct epoll_event e = {.events = mask, .data.fd = fd};
    if (epoll_ctl(epfd, op, fd, &e)) die("epoll_ctl");
}

static int render_event(char *out, int k) {
    char body[512];
    int b = sprintf(body,
                    "data: {\"id\":\"cmpl-0123456789abcdef0123456789abcdef\",\"object\":\"text_completion\",\"created\":1700000000,"
                    "\"model\":\"reference\",\"choices\":[{\"index\":0,\"text\":\" token%d\",\"logprobs\":null,"
                    "\"finish_reason\":%s,\"stop_reason\":null}],\"usage\":{\"prompt_tokens\":32,\"total_tokens\":%d,"
                    "\"completion_tokens\":%d}}\n\n",
                    k, k == chunks - 1 ? "\"length\"" : "null", 33 + k, k + 1);
    if (k == chunks - 1) b += sprintf(body + b, "data: [DONE]\n\n");
    int n = sprintf(out, "%x\r\n%s\r\n", b, body);
    return k == chunks - 1 ? n + sprintf(out + n, "0\r\n\r\n") : n;
}

static void render(void) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    events = malloc(sizeof head + (size_t)chunks * 640);
    event_ends = malloc(chunks * sizeof(int));
    int n = sprintf(events, "%s", head);
    for (int k = 0; k < chunks; k++) event_ends[k] = n += render_event(events + n, k);
}

/* Send what is rendered. 1: all gone, 0: the socket is full, -1: the peer is gone. */
static int flush_out(int fd) {
    Stream *s = streams[fd];
    while (s->out_len) {
        ssize_t n = send(fd, s->out, s->out_len, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            if (!s->blocked) watch(fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT), s->blocked = 1;
            return 0;
        }
        if (n < 0) return -1;
        s->out += n, s->out_len -= n;
    }
    if (s->blocked) watch(fd, EPOLL_CTL_MOD, EPOLLIN), s->blocked = 0;
    return 1;
}

/* Send the event that is due (the next per_write events) and set the time of the next. */
static void step(int fd) {
    Stream *s = streams[fd];
    heap_remove(fd);
    int from = s->next ? event_ends[s->next - 1] : 0;
    double t = now();
    Log *l = &logs[s->log];
    for (int k = 0; k < per_write && s->next < chunks; k++, s->next++) l->sent[l->count++] = t;
    s->out = events + from;
    s->out_len = event_ends[s->next - 1] - from;
    s->sending = s->next < chunks;
    s->due = gap_s > 0 ? s->due + gap_s : t;
    int done = flush_out(fd);
    if (done < 0) hang_up(fd);
    else if (done && s->sending) heap_add(fd);
}

static void find_id(const char *head, char *id) {
    const char *at = strcasestr(head, "\r\nx-request-id:");
    id[0] = 0;
    if (!at) return;
    at += 15;
    while (*at == ' ') at++;
    size_t n = strcspn(at, "\r\n");
    if (n >= ID_BYTES) n = ID_BYTES - 1;
    memcpy(id, at, n);
    id[n] = 0;
}

static void begin(int fd, double arrival) {
    Stream *s = streams[fd];
    if (logs_len == logs_cap) {
        logs_cap = logs_cap ? 2 * logs_cap : 1024;
        logs = realloc(logs, logs_cap * sizeof *logs);
    }
    Log *l = &logs[logs_len];
    find_id(s->in, l->id);
    l->arrival = arrival;
    l->sent = malloc(chunks * sizeof(double));
    l->count = 0;
    s->log = logs_len++;
    s->sending = 1;
    s->next = 0;
    /* golden-ratio spacing spreads any number of streams evenly over the phase */
    double turn = logs_len * 0.6180339887498949;
    s->due = arrival + first_s + phase_s * (turn - (long long)turn);
    heap_add(fd);
}

/* Some clients ask for /metrics or /tokenize as well. */
static void refuse(int fd) {
    static const char answer[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    if (send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0) hang_up(fd);
}

static void on_readable(int fd) {
    Stream *s = streams[fd];
    if (!s->in) s->in = malloc(MAX_REQUEST + 1);
    ssize_t n = recv(fd, s->in + s->in_len, MAX_REQUEST - s->in_len, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return;
        hang_up(fd);
        return;
    }
    s->in_len += n;
    s->in[s->in_len] = 0;
    char *end = strstr(s->in, "\r\n\r\n");
    if (!end || s->sending) return;
    char *field = strcasestr(s->in, "\r\ncontent-length:");
    int need = end + 4 - s->in + (field && field < end ? atoi(field + 17) : 0);
    if (s->in_len < need) return;
    s->in_len = 0;
    if (!strncmp(s->in, "POST /v1/", 9)) begin(fd, now());
    else refuse(fd);
}

static void on_accept(int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FDS) die("too many connections");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        streams[fd] = calloc(1, sizeof(Stream));
        streams[fd]->heap_at = -1;
        watch(fd, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void on_ready(int fd, unsigned mask) {
    if (mask & EPOLLOUT && streams[fd] && streams[fd]->blocked) {
        int done = flush_out(fd);
        if (done < 0) hang_up(fd);
        else if (done && streams[fd]->sending) heap_add(fd);
    }
    if (streams[fd] && mask & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(fd);
}

static int open_listener(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) die("listen");
    return fd;
}

static void run(int listener) {
    struct epoll_event ready[256];
    while (!stopping) {
        double wait = heap_len ? streams[heap[0]]->due - now() : 1.0;
        if (wait < 0) wait = 0;
        struct timespec limit = {(time_t)wait, (long)((wait - (time_t)wait) * 1e9)};
        int n = epoll_pwait2(epfd, ready, 256, &limit, NULL);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) on_accept(fd);
            else if (streams[fd]) on_ready(fd, ready[i].events);
        }
        double t = now();
        /* a bounded number of sends, so that new requests are seen in time */
        for (int k = 0; k < 64 && heap_len && streams[heap[0]]->due <= t; k++) step(heap[0]);
    }
}

static void write_log(const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) die(path);
    for (int i = 0; i < logs_len; i++) {
        fprintf(f, "%s,%.6f", logs[i].id, logs[i].arrival);
        for (int k = 0; k < logs[i].count; k++) fprintf(f, ",%.6f", logs[i].sent[k]);
        fprintf(f, "\n");
    }
    fclose(f);
}

static void on_signal(int number) {
    (void)number;
    stopping = 1;
}

int main(int argc, char **argv) {
    int port = 8000;
    const char *log_path = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *k = argv[i], *v = argv[i + 1];
        if (!strcmp(k, "--port")) port = atoi(v);
        else if (!strcmp(k, "--chunks")) chunks = atoi(v);
        else if (!strcmp(k, "--gap-ms")) gap_s = atof(v) / 1000;
        else if (!strcmp(k, "--first-ms")) first_s = atof(v) / 1000;
        else if (!strcmp(k, "--phase-ms")) phase_s = atof(v) / 1000;
        else if (!strcmp(k, "--per-write")) per_write = atoi(v);
        else if (!strcmp(k, "--log")) log_path = v;
        else return fprintf(stderr, "unknown option %s\n", k), 2;
    }
    struct rlimit files = {MAX_FDS, MAX_FDS};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    render();
    epfd = epoll_create1(0);
    int listener = open_listener(port);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    run(listener);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    long long sent = 0;
    for (int i = 0; i < logs_len; i++) sent += logs[i].count;
    printf("{\"requests\": %d, \"events\": %lld, \"cpu_s\": %.4f}\n", logs_len, sent, cpu);
    if (log_path) write_log(log_path);
    return 0;
}
