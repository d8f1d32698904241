/* The agent's program: CPython with one command in it, which nothing outside of the bundle can change.
 *
 * It stands in place of CPython's Programs/python.c. It finds the bundle from where its own file really is, through any
 * link; reads no PYTHON... variable, no pyvenv.cfg, no .pth file, no user's folder and no site; searches modules in the
 * bundle alone; writes no byte code; speaks UTF-8 whatever the locale is; and has no option of an interpreter: all
 * arguments are the agent's.
 */
#include <Python.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define LIBRARY "lib/python" Py_STRINGIFY(PY_MAJOR_VERSION) "." Py_STRINGIFY(PY_MINOR_VERSION)

static const wchar_t COMMAND[] = L"import sys\nfrom libcensus.agent.cli import main\nsys.exit(main())\n";

/* Write the real path of this program into `path`; without /proc, the path that the kernel was given. */
static int
find_program(char path[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (length > 0 && path[0] == '/') {
        path[length] = '\0';
        return 0;
    }
    const char *given = (const char *)getauxval(AT_EXECFN);
    return given != NULL && realpath(given, path) != NULL ? 0 : -1;
}

/* Cut the last part off a path. */
static int
cut(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return -1;
    }
    *slash = '\0';
    return 0;
}

static PyStatus
add_search_path(PyConfig *config, const char *prefix, const char *relative)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", prefix, relative);
    wchar_t *decoded = Py_DecodeLocale(path, NULL);
    if (decoded == NULL) {
        return PyStatus_NoMemory();
    }
    PyStatus status = PyWideStringList_Append(&config->module_search_paths, decoded);
    PyMem_RawFree(decoded);
    return status;
}

static PyStatus
configure(PyConfig *config, int argc, char **argv, char *program, char *prefix)
{
    struct {
        wchar_t **member;
        const char *value;
    } paths[] = {
        {&config->program_name, program},    {&config->executable, program}, {&config->base_executable, program},
        {&config->home, prefix},             {&config->prefix, prefix},      {&config->exec_prefix, prefix},
        {&config->base_prefix, prefix},      {&config->base_exec_prefix, prefix},
    };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        PyStatus status = PyConfig_SetBytesString(config, paths[i].member, paths[i].value);
        if (PyStatus_Exception(status)) {
            return status;
        }
    }
    char library[PATH_MAX + 64];
    snprintf(library, sizeof library, "%s/%s", prefix, LIBRARY);
    PyStatus status = PyConfig_SetBytesString(config, &config->stdlib_dir, library);
    if (PyStatus_Exception(status)) {
        return status;
    }
    config->module_search_paths_set = 1;
    status = add_search_path(config, prefix, LIBRARY);
    if (PyStatus_Exception(status)) {
        return status;
    }
    status = add_search_path(config, prefix, LIBRARY "/site-packages");
    if (PyStatus_Exception(status)) {
        return status;
    }
    status = PyConfig_SetBytesArgv(config, argc, argv);
    if (PyStatus_Exception(status)) {
        return status;
    }
    return PyConfig_SetString(config, &config->run_command, COMMAND);
}

int
main(int argc, char **argv)
{
    char program[PATH_MAX];
    char prefix[PATH_MAX];
    if (find_program(program) < 0) {
        fputs("libcensus-agent: error: cannot tell where this program is: mount /proc, or call it by its full path\n",
              stderr);
        return 70;
    }
    strcpy(prefix, program);
    if (cut(prefix) < 0 || cut(prefix) < 0) {
        fprintf(stderr, "libcensus-agent: error: %s does not stand in the bin folder of its bundle\n", program);
        return 70;
    }

    PyPreConfig preconfig;
    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.parse_argv = 0;
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 1;
    config.configure_c_stdio = 1;
    status = configure(&config, argc, argv, program, prefix);
    if (!PyStatus_Exception(status)) {
        status = Py_InitializeFromConfig(&config);
    }
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status)) {
        Py_ExitStatusException(status);
    }
    return Py_RunMain();
}
