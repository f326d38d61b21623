package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	containerexec "github.com/testcontainers/testcontainers-go/exec"
	testcontainerslog "github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Names that Dockerfile.postgres makes, and the user that runs it.
const (
	containerDatabase  = "tinydev"
	containerSuperuser = "tinydev_superuser"
	containerUID       = 5432
)

// Labels of our containers: whose they are, so that what a killed test left can be swept.
const (
	labelProcess = "tinydev.test.process"
	labelFolder  = "tinydev.test.folder"
)

// ContainerOptions say how a container differs from the usual one.
type ContainerOptions struct {
	// BaseImage is what the image is built on: a release of Debian or Ubuntu, or PostgreSQL's
	// official image. Empty means TINYDEV_TEST_BASE_IMAGE or TINYDEV_BASE_IMAGE, or else what
	// Dockerfile.postgres says.
	BaseImage string
	// Settings are given to postgres. fsync is off unless set here: a killed process loses nothing.
	Settings map[string]string
	// Env is more of the environment of all processes in it.
	Env map[string]string
	// Port, unless 0, gives the container the host's network, and PostgreSQL listens on 127.0.0.1 there.
	Port int
	// Prepare, unless nil, puts files into the volume before the start, for the user who runs PostgreSQL.
	Prepare func(volume string, uid, gid int) error
}

// containerVolume is where the volume is in the container.
const containerVolume = "/var/lib/tinydev/postgres"

// Container is a PostgreSQL with pg_cron in a container built from Dockerfile.postgres, pg_cron
// live in its database tinydev. It has no network unless it is given a port: the way in is a Unix socket in a folder that is
// shared with the host, where any role may open a session without a password.
type Container struct {
	container testcontainers.Container
	folder    string // on the host; holds data and socket
	port      string // in the socket's name too
	docker    client.APIClient
}

// StartContainer builds the image unless it is there, which takes about a minute once, and starts a
// container of it, which takes about two seconds. It returns when PostgreSQL and pg_cron's launcher
// are up. Close it at the end; a container whose test process died is removed by the next start.
// Test packages may call it at the same time.
//
// It fails when no Docker engine runs on this host, or the image cannot be built: the error holds
// the end of the build's log.
func StartContainer(ctx context.Context, options ContainerOptions) (*Container, error) {
	image, err := containerImage(ctx, options.BaseImage)
	if err != nil {
		return nil, err
	}
	if err := configureTestcontainers(); err != nil {
		return nil, err
	}
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return nil, fmt.Errorf("find the Docker engine: %w", err)
	}
	c := &Container{docker: provider.Client(), port: "5432"}
	if err := c.sweep(ctx); err != nil {
		return nil, errors.Join(err, c.docker.Close())
	}
	if err := c.start(ctx, image, options); err != nil {
		logs := c.Logs(ctx)
		return nil, errors.Join(fmt.Errorf("start a container of %s: %w\n%s", image, err, logs), c.Close())
	}
	return c, nil
}

// configureTestcontainers turns its reaper off, which is an image that may not be to be had (sweep
// takes its place), and its log, which goes to stderr.
var configureTestcontainers = sync.OnceValue(func() error {
	testcontainerslog.SetDefault(log.New(io.Discard, "", 0))
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return fmt.Errorf("configure testcontainers: %w", err)
	}
	return nil
})

func (c *Container) start(ctx context.Context, image string, options ContainerOptions) error {
	uid, gid, err := c.makeFolder()
	if err != nil {
		return err
	}
	if options.Prepare != nil {
		if err := options.Prepare(filepath.Join(c.folder, "data"), uid, gid); err != nil {
			return err
		}
	}
	args, network := []string{"-c", "fsync=off"}, containertypes.NetworkMode("none")
	if options.Port != 0 {
		c.port, network = strconv.Itoa(options.Port), "host"
		args = append(args, "-c", "listen_addresses=127.0.0.1", "-c", "port="+c.port)
	}
	for name, value := range options.Settings {
		args = append(args, "-c", name+"="+value)
	}
	env := map[string]string{"PGPORT": c.port} // of the health check
	maps.Copy(env, options.Env)
	c.container, err = testcontainers.GenericContainer(ctx, testcontainers.GenericContainerRequest{
		Started: true,
		ContainerRequest: testcontainers.ContainerRequest{
			Image:  image,
			Cmd:    args,
			Env:    env,
			Labels: map[string]string{labelProcess: strconv.Itoa(os.Getpid()), labelFolder: c.folder},
			ConfigModifier: func(config *containertypes.Config) {
				config.User = fmt.Sprintf("%d:%d", uid, gid)
			},
			HostConfigModifier: func(host *containertypes.HostConfig) {
				host.NetworkMode = network
				host.ShmSize = 256 << 20
				host.Binds = []string{
					filepath.Join(c.folder, "data") + ":" + containerVolume,
					c.SocketDir() + ":/run/tinydev",
				}
			},
			WaitingFor: wait.ForExec([]string{"healthy"}).WithPollInterval(50 * time.Millisecond).WithStartupTimeout(2 * time.Minute),
		},
	})
	return err
}

// makeFolder makes the folders that the container mounts and tells the user it is to run as: who
// runs the tests, or the image's own user when that is root.
func (c *Container) makeFolder() (uid, gid int, err error) {
	parent := os.TempDir()
	if len(parent) > 60 { // a socket's path holds 107 bytes
		parent = "/tmp"
	}
	if c.folder, err = os.MkdirTemp(parent, "tinydev-test-"); err != nil {
		return 0, 0, err
	}
	uid, gid = os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = containerUID, containerUID
	}
	for _, dir := range []string{filepath.Join(c.folder, "data"), c.SocketDir()} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return 0, 0, err
		}
		if err := os.Chown(dir, uid, gid); err != nil {
			return 0, 0, err
		}
	}
	return uid, gid, nil
}

// sweep removes the containers whose test process is gone.
func (c *Container) sweep(ctx context.Context) error {
	list, err := c.docker.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: make(client.Filters).Add("label", labelProcess)})
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, left := range list.Items {
		process, err := strconv.Atoi(left.Labels[labelProcess])
		if err != nil || !errors.Is(syscall.Kill(process, 0), syscall.ESRCH) {
			continue
		}
		// Several packages may sweep at once; who comes second finds nothing, which is as good.
		_, _ = c.docker.ContainerRemove(ctx, left.ID, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if folder := left.Labels[labelFolder]; strings.HasPrefix(filepath.Base(folder), "tinydev-test-") {
			_ = os.RemoveAll(folder)
		}
	}
	return nil
}

// SocketDir is the folder of the Unix socket on the host; the port is 5432 unless another was asked for.
func (c *Container) SocketDir() string { return filepath.Join(c.folder, "socket") }

// DSN is a connection string for any role, over the socket and without a password.
func (c *Container) DSN(role, database string) string {
	q := url.Values{"host": {c.SocketDir()}, "port": {c.port}, "user": {role}, "dbname": {database}, "sslmode": {"disable"}}
	return "postgres:///?" + q.Encode()
}

// SuperuserDSN connects as tinydev_superuser to the database tinydev, pg_cron's own.
func (c *Container) SuperuserDSN() string { return c.DSN(containerSuperuser, containerDatabase) }

// Kill ends PostgreSQL and all its processes by SIGKILL, as a power cut does. Start brings them back.
func (c *Container) Kill(ctx context.Context) error {
	id := c.container.GetContainerID()
	if _, err := c.docker.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		return fmt.Errorf("kill the container: %w", err)
	}
	waited := c.docker.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: containertypes.WaitConditionNotRunning})
	select {
	case <-waited.Result:
		return nil
	case err := <-waited.Error:
		return fmt.Errorf("wait for the killed container: %w", err)
	}
}

// Stop asks PostgreSQL to shut down as `docker stop` does and returns its exit code: 0 when it was
// clean. Start brings it back.
func (c *Container) Stop(ctx context.Context) (exitCode int, err error) {
	patience := 30 * time.Second
	if err := c.container.Stop(ctx, &patience); err != nil {
		return 0, fmt.Errorf("stop the container: %w", err)
	}
	state, err := c.container.State(ctx)
	if err != nil {
		return 0, fmt.Errorf("look at the stopped container: %w", err)
	}
	return state.ExitCode, nil
}

// Start starts a container that was killed or stopped, with its data, and returns when it is up.
func (c *Container) Start(ctx context.Context) error {
	if err := c.container.Start(ctx); err != nil {
		return fmt.Errorf("start the container again: %w\n%s", err, c.Logs(ctx))
	}
	return nil
}

// Exec runs a command in the container and returns its exit code and what it printed.
func (c *Container) Exec(ctx context.Context, command ...string) (exitCode int, output string, err error) {
	code, reader, err := c.container.Exec(ctx, command, containerexec.Multiplexed())
	if err != nil {
		return 0, "", fmt.Errorf("run %s in the container: %w", command[0], err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		return 0, "", fmt.Errorf("read what %s prints: %w", command[0], err)
	}
	return code, string(text), nil
}

// Logs is what PostgreSQL wrote so far, for the message of a failed test.
func (c *Container) Logs(ctx context.Context) string {
	if c.container == nil {
		return ""
	}
	reader, err := c.container.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer reader.Close()
	text, _ := io.ReadAll(reader)
	return string(text)
}

// Close ends and removes the container and its data at once. It works after a cancelled start too,
// and does not need the context of the test, which may be over.
func (c *Container) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if c.container != nil {
		if _, err := c.docker.ContainerRemove(ctx, c.container.GetContainerID(), client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
			errs = append(errs, fmt.Errorf("remove the container: %w", err))
		}
		// Lets go of what testcontainers keeps open; the container itself is gone.
		_ = testcontainers.TerminateContainer(c.container)
	}
	if c.folder != "" {
		errs = append(errs, os.RemoveAll(c.folder))
	}
	return errors.Join(append(errs, c.docker.Close())...)
}

// containerImage builds the image by deploy/image, which keeps it by the hash of its contents.
func containerImage(ctx context.Context, base string) (string, error) {
	if base == "" {
		base = os.Getenv("TINYDEV_TEST_BASE_IMAGE")
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	var log bytes.Buffer
	build := exec.CommandContext(ctx, filepath.Join(root, "deploy", "image"), "postgres")
	if base != "" {
		build.Env = append(os.Environ(), "TINYDEV_BASE_IMAGE="+base) // the last one counts
	}
	build.Stderr = &log
	build.WaitDelay = 5 * time.Second
	name, err := build.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		return "", fmt.Errorf("build the image of Dockerfile.postgres: %w\n%s", err, strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
	return strings.TrimSpace(string(name)), nil
}

// moduleRoot is the folder of go.mod above the test's package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("find the module: no go.mod above %s", dir)
		}
	}
}
