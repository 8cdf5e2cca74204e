/* SPDX-License-Identifier: MIT */
/*
 * `sluice run`: options to machine, machine to exit status.
 *
 * Theory of operation: one session on the stack owns every part. Parts are made
 * in the order in which they need each other and taken down in reverse; each is
 * NULL until it exists, so that one function ends a session however far it came.
 * Whatever goes wrong before the guest runs is one line on standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "src/base/alloc_count.h"
#include "src/base/base.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/cli/alloc_report.h"
#include "src/cli/cmdchan.h"
#include "src/cli/jailcfg.h"
#include "src/cli/kernel_find.h"
#include "src/cli/netcfg.h"
#include "src/cli/options.h"
#include "src/cli/run.h"
#include "src/cli/stats.h"
#include "src/control/control.h"
#include "src/vmm/boot.h"
#include "src/vmm/cmdproto.h"
#include "src/vmm/io_loop.h"
#include "src/vmm/kvm.h"
#include "src/vmm/vm.h"
#include "virtio/console.h"
#include "virtio/net_worker.h"
#include "virtio/rng.h"

/* What every guest of ours needs; the user's words come behind it and win. */
#define CMDLINE_BASE "console=ttyS0 quiet panic=-1"

/* From the signal that the command got to the end of the machine. */
#define KILL_AFTER_NS (5 * NS_PER_S)

struct session {
	const struct run_options *o;
	struct jail jail;
	struct vm *vm;
	struct net_worker *worker;
	struct sight sight;
	struct net_dev *net;
	struct vrng *rng;
	struct vcon *con;
	struct cmdchan *chan;
	struct control *control;
	struct resolv_watch *resolv;
	int console_fd; /* opened for --console=FILE, else -1 */
	int timer_fd;
	bool timed_out;
	struct run_stats stats;
	FILE *stats_file; /* opened for --stats=FILE, else NULL */
	struct alloc_report report;
	struct alloc_count vcpu_heap;
	struct guest_image image;
	char cmdline[4096];
	char why[VM_WHY_MAX];
};

PRINTF(3, 4)
static int failed(struct session *s, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, ap);
	va_end(ap);
	return err;
}

/* --- callbacks of the main loop ------------------------------------------- */

static void on_rng_kick(void *ctx, uint32_t events)
{
	(void)events;
	vrng_service(ctx);
}

static void on_console_kick(void *ctx, uint32_t events)
{
	(void)events;
	vcon_service(ctx);
}

static void on_timeout(void *ctx, uint32_t events)
{
	struct session *s = ctx;

	(void)events;
	s->timed_out = true;
	vm_stop(s->vm, VM_END_STOPPED, EXIT_TIMEOUT);
}

static void on_command_done(void *ctx)
{
	struct session *s = ctx;

	vm_stop(s->vm, VM_END_STOPPED, 0);
}

static void on_command_killed(void *ctx, int signo)
{
	struct session *s = ctx;

	vm_stop(s->vm, VM_END_SIGNAL, signo);
}

static int last_door(void *ctx, char *why, size_t why_len)
{
	return jail_close(ctx, why, why_len);
}

static bool on_signal(void *ctx, int signo)
{
	struct session *s = ctx;

	if (signo == SIGHUP && sight_reopen(&s->sight) != -ENOENT)
		return true;
	return s->chan && cmdchan_signal(s->chan, signo);
}

/* --- before the machine --------------------------------------------------- */

static int find_kernel(struct session *s)
{
	char exe_dir[PATH_MAX], why[sizeof(s->why)];
	const struct guest_dirs dirs = { exe_dir, GUEST_STATE_DIR };
	int err = guest_exe_dir(exe_dir, sizeof(exe_dir));

	if (err < 0)
		return failed(s, err, "/proc/self/exe: %s", strerror(-err));
	err = guest_image_find(&dirs, s->o->kernel, s->o->initrd, &s->image, s->why,
			       sizeof(s->why));
	if (err < 0)
		return err;
	err = boot_probe(s->image.kernel, why, sizeof(why));
	if (err < 0)
		return failed(s, err, "%s%s", s->o->kernel ? "--kernel: " : "", why);
	if (s->image.initrd[0] && access(s->image.initrd, R_OK) < 0)
		return failed(s, -errno, "%s%s: %s", s->o->initrd ? "--initrd: " : "",
			      s->image.initrd, strerror(errno));
	return 0;
}

static int make_cmdline(struct session *s)
{
	const char *more = s->o->cmdline;
	int n = snprintf(s->cmdline, sizeof(s->cmdline), "%s%s%s", CMDLINE_BASE, more ? " " : "",
			 more ? more : "");

	if (n < 0 || (size_t)n >= sizeof(s->cmdline))
		return failed(s, -E2BIG, "--cmdline: too long");
	return 0;
}

/* Is a stock kernel likely to get anywhere on this host? */
static int check_host(struct session *s)
{
	if (s->o->force || kvm_host_kind() != KVM_HOST_PVM)
		return 0;
	return failed(s, -ENOTSUP,
		      "this host's KVM has neither VT-x nor SVM, so Linux does not boot in it: "
		      "use another host, or sluice-demo for a look (--force tries all the same)");
}

/* Where the serial console reads and writes. */
static int console_fds(struct session *s, struct vm_config *vc)
{
	const char *where = s->o->console;

	vc->console_in = vc->console_out = -1;
	if (strcmp(where, "auto") == 0)
		where = s->o->command ? "none" : "stdio";
	if (strcmp(where, "none") == 0)
		return 0;
	if (strcmp(where, "stderr") == 0) {
		vc->console_out = STDERR_FILENO;
		return 0;
	}
	if (strcmp(where, "stdio") == 0) {
		if (s->o->command)
			return failed(s, -EINVAL,
				      "--console: stdio belongs to COMMAND; use stderr or a file");
		vc->console_in = STDIN_FILENO;
		vc->console_out = STDOUT_FILENO;
		vc->escape = isatty(STDIN_FILENO) == 1;
		return 0;
	}
	s->console_fd = open(where, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (s->console_fd < 0)
		return failed(s, -errno, "--console: %s: %s", where, strerror(errno));
	vc->console_out = s->console_fd;
	return 0;
}

/* --- the machine ------------------------------------------------------------ */

static int add_net(struct session *s)
{
	struct vnet_config net;
	int err;

	if (!s->o->net)
		return 0;
	err = netcfg_worker(s->o, &s->jail, &s->sight, &s->worker, &net, s->why, sizeof(s->why));
	if (err < 0)
		return err;
	err = netcfg_follow(s->o, s->worker, vm_loop(s->vm), &s->resolv, s->why, sizeof(s->why));
	if (err < 0)
		return err;
	err = net_dev_new(&s->net, vm_gmem(s->vm), s->worker, &net);
	if (err < 0)
		return failed(s, err, "network device: %s", strerror(-err));
	return vm_add(s->vm, net_dev_vdev(s->net), s->o->transport, s->why, sizeof(s->why));
}

static int add_rng(struct session *s)
{
	int err = vrng_new(&s->rng, vm_gmem(s->vm));

	if (err == 0)
		err = io_loop_add(vm_loop(s->vm), vrng_kick_fd(s->rng), EPOLLIN, on_rng_kick,
				  s->rng);
	if (err < 0)
		return failed(s, err, "entropy device: %s", strerror(-err));
	return vm_add(s->vm, vrng_vdev(s->rng), s->o->transport, s->why, sizeof(s->why));
}

/* The console device carries the command; without one there is nothing to carry. */
static int add_command(struct session *s)
{
	const struct cmdchan_config cc = {
		.argv = s->o->command,
		.env = s->o->env,
		.nenv = s->o->nenv,
		.fd = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO },
		.kill_after_ns = KILL_AFTER_NS,
		.done = on_command_done,
		.killed = on_command_killed,
		.ctx = s,
	};
	struct vcon_port_config port = {
		.name = CMD_PORT_NAME,
		.open = true,
		.ops = &cmdchan_port_ops,
	};
	int err;

	if (!s->o->command)
		return 0;
	err = cmdchan_new(&s->chan, &cc, vm_loop(s->vm));
	if (err == -E2BIG)
		return failed(s, err, "COMMAND and its environment are longer than %u bytes",
			      CMD_EXEC_MAX);
	if (err < 0)
		return failed(s, err, "command channel: %s", strerror(-err));
	port.ctx = s->chan;
	err = vcon_new(&s->con, vm_gmem(s->vm), &port, 1);
	if (err == 0)
		err = io_loop_add(vm_loop(s->vm), vcon_kick_fd(s->con), EPOLLIN, on_console_kick,
				  s->con);
	if (err < 0)
		return failed(s, err, "console device: %s", strerror(-err));
	cmdchan_attach(s->chan, s->con, 0);
	return vm_add(s->vm, vcon_vdev(s->con), s->o->transport, s->why, sizeof(s->why));
}

static const struct vq_counters *queue_counters(void *ctx, unsigned int q)
{
	struct session *s = ctx;

	return s->net && q < VNET_QUEUES ? &net_dev_vdev(s->net)->queue[q].n : NULL;
}

/* As SIGTERM would: a command in the guest is told first. */
static void on_shutdown(void *ctx)
{
	struct session *s = ctx;

	if (!on_signal(s, SIGTERM))
		vm_stop(s->vm, VM_END_SIGNAL, SIGTERM);
}

static int add_control(struct session *s)
{
	const struct control_config cc = {
		.command = "run",
		.start_ns = s->stats.start_ns,
		.loop = vm_loop(s->vm),
		.worker = s->worker,
		.sight = &s->sight,
		.jail = &s->jail.status,
		.queue = queue_counters,
		.shutdown = on_shutdown,
		.ctx = s,
	};

	return netcfg_control(s->o, &cc, &s->control, s->why, sizeof(s->why));
}

static int set_timeout(struct session *s)
{
	const struct itimerspec t = { .it_value = { .tv_sec = s->o->timeout } };
	int err;

	if (s->o->timeout == 0)
		return 0;
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->timer_fd < 0 || timerfd_settime(s->timer_fd, 0, &t, NULL) < 0)
		return failed(s, -errno, "--timeout: %s", strerror(errno));
	err = io_loop_add(vm_loop(s->vm), s->timer_fd, EPOLLIN, on_timeout, s);
	return err < 0 ? failed(s, err, "--timeout: %s", strerror(-err)) : 0;
}

/* Nothing can be opened at the end, when they are written. */
static int open_reports(struct session *s)
{
	const char *path = s->o->stats;

	if (path && path[0]) {
		s->stats_file = fopen(path, "we");
		if (!s->stats_file)
			return failed(s, -errno, "--stats: %s: %s", path, strerror(errno));
	}
	return alloc_report_open(&s->report, s->o->alloc_report, s->why, sizeof(s->why));
}

/* Everything that takes rights: after this the guest is there and does not run yet. */
static int build(struct session *s)
{
	struct vm_config vc = {
		.mem_size = s->o->memory,
		.vcpus = s->o->cpus,
		.hugepages = s->o->hugepages,
		.thread_init = jail_thread_vcpu,
		.ready = last_door,
		.thread_ctx = &s->jail,
		.on_signal = on_signal,
		.signal_ctx = s,
	};
	struct boot_config bc = {
		.kernel = s->image.kernel,
		.initrd = s->image.initrd[0] ? s->image.initrd : NULL,
		.cmdline = s->cmdline,
	};
	int err = open_reports(s);

	if (err == 0)
		err = console_fds(s, &vc);
	if (err == 0)
		err = vm_new(&s->vm, &vc, s->why, sizeof(s->why));
	if (err == 0)
		err = add_net(s);
	if (err == 0)
		err = add_rng(s);
	if (err == 0)
		err = add_command(s);
	if (err == 0)
		err = set_timeout(s);
	if (err == 0)
		err = add_control(s);
	if (err == 0)
		err = vm_load(s->vm, &bc, s->why, sizeof(s->why));
	return err;
}

static void write_stats(struct session *s)
{
	if (!s->o->stats)
		return;
	if (!s->stats_file) {
		run_stats_table(&s->stats, stderr);
		return;
	}
	run_stats_json(&s->stats, s->stats_file);
	if (fflush(s->stats_file) != 0)
		log_error("run", "--stats: %s: %s", s->o->stats, strerror(errno));
}

/* Also for a session that came to nothing. The figures are read when all is quiet. */
static void take_down(struct session *s, bool ran)
{
	control_free(s->control);
	resolv_watch_free(s->resolv);
	if (s->chan)
		cmdchan_detach(s->chan);
	vm_free(s->vm);
	s->vm = NULL;
	if (s->chan)
		cmdchan_finish(s->chan);
	if (ran) {
		s->stats.net = s->net ? net_dev_vdev(s->net) : NULL;
		s->stats.worker = s->worker;
		s->stats.ready_ns = s->chan ? cmdchan_ready_ns(s->chan) : 0;
		s->stats.vcpu_heap = &s->vcpu_heap;
		write_stats(s);
		alloc_report(&s->report, s->worker, &s->vcpu_heap);
	}
	if (s->net)
		net_dev_free(s->net);
	if (s->worker)
		net_worker_free(s->worker);
	sight_close(&s->sight);
	if (s->rng)
		vrng_free(s->rng);
	if (s->con)
		vcon_free(s->con);
	if (s->timer_fd >= 0)
		close(s->timer_fd);
	if (s->console_fd >= 0)
		close(s->console_fd);
	if (s->stats_file)
		fclose(s->stats_file);
	alloc_report_close(&s->report);
}

/* What the user's shell is told; @s->why is filled where a line is due. */
static int exit_status(struct session *s, const struct vm_result *r)
{
	if (s->chan && cmdchan_state(s->chan) == CMDCHAN_EXITED)
		return (int)(cmdchan_status(s->chan) & 0xff);
	if (s->timed_out)
		return failed(s, EXIT_TIMEOUT, "the guest was ended after %u s", s->o->timeout);
	if (r->end == VM_END_SIGNAL)
		return 128 + r->detail;
	if (r->end == VM_END_ERROR || r->end == VM_END_CRASH)
		return failed(s, EXIT_SLUICE, "%s", r->why);
	if (!s->chan)
		return 0;
	if (r->end == VM_END_STOPPED)
		return failed(s, EXIT_SLUICE, "%s", cmdchan_why(s->chan));
	return failed(s, EXIT_SLUICE,
		      "%s before the command had ended; --console=stderr shows what it says",
		      r->why);
}

/* A guest that ended itself may have said more than was heard. */
static void hear_out(struct session *s, const struct vm_result *r)
{
	sigset_t set;

	if (!s->chan || (r->end != VM_END_POWEROFF && r->end != VM_END_REBOOT))
		return;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	cmdchan_last_words(s->chan);
}

static int run(const struct run_options *o, uint64_t start_ns)
{
	struct session s = {
		.o = o,
		.console_fd = -1,
		.timer_fd = -1,
		.stats.start_ns = start_ns,
	};
	int status = EXIT_SLUICE;
	struct vm_result result;
	int err;

	err = jailcfg_begin(&s.jail, o, COMMAND_RUN, s.why, sizeof(s.why));
	if (err == 0)
		err = find_kernel(&s);
	if (err == 0)
		err = make_cmdline(&s);
	if (err == 0)
		err = check_host(&s);
	if (err == 0)
		err = build(&s);
	if (err == 0)
		err = jailcfg_enter(&s.jail, o, s.worker, s.why, sizeof(s.why));
	if (err == 0 && s.worker)
		err = netcfg_start(o, &s.sight, s.worker, s.why, sizeof(s.why));
	if (err == 0) {
		s.stats.loaded_ns = clock_now_ns();
		vm_run(s.vm, &result);
		s.stats.end_ns = clock_now_ns();
		vm_vcpu_heap(s.vm, &s.vcpu_heap);
		hear_out(&s, &result);
		/* Reads the channel's last word, so before it is detached. */
		status = exit_status(&s, &result);
	}
	take_down(&s, err == 0);
	cmdchan_free(s.chan);
	jail_free(&s.jail);
	if (s.why[0])
		fprintf(stderr, "sluice: %s\n", s.why);
	return status;
}

/**
 * run_main() - `sluice run`
 * @argc, @argv:	what follows the word "run"
 *
 * Return: the program's exit status, as run_options_help() lists them
 */
int run_main(int argc, char **argv)
{
	uint64_t start_ns = clock_now_ns();
	struct run_options o;
	int status;

	if (!run_options_begin(&o, COMMAND_RUN, argc, argv, &status))
		return status;
	if (o.memory % RAM_SIZE_STEP) {
		fprintf(stderr, "sluice: --memory: not a multiple of %lluM\n", RAM_SIZE_STEP >> 20);
		return EXIT_USAGE;
	}
	status = run(&o, start_ns);
	run_options_free(&o);
	return status;
}
