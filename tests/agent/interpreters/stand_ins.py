"""Small stand-ins for Node.js, Ruby, Perl, PHP and PyPy, made by gcc: the marks of the real ones, and nothing else.

Each function builds one below ``prefix`` of a root folder and returns the main program's path as seen in the root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.agent.roots import MODULE, compile_c, shared

if TYPE_CHECKING:
    from pathlib import Path

NODE_START = "_ZN4node5StartEiPPc"
NODE_CODE = (
    'const char *agent = "node.js/v99.8.1";\n'
    f"int {NODE_START}(int c, char **v) {{ return agent[0]; }}\n"
    f"int main(int c, char **v) {{ return {NODE_START}(c, v); }}\n"
)
NODE_MAIN = f"extern int {NODE_START}(int, char **);\nint main(int c, char **v) {{ return {NODE_START}(c, v); }}\n"
RUBY_TEXT = "ruby 9.8.1 (2030-01-01 revision 4491bb740a) [x86_64-linux]"
RUBY_CODE = (
    f'const char *description = "{RUBY_TEXT}";\n'
    "int ruby_options(int c, char **v) { return description[0]; }\nint ruby_run_node(int n) { return n; }\n"
)
RUBY_MAIN = (
    "extern int ruby_options(int, char **);\nextern int ruby_run_node(int);\n"
    "int main(int c, char **v) { return ruby_run_node(ruby_options(c, v)); }\n"
)
RBCONFIG = """# This file was created by mkconfig.rb when ruby was built.
module RbConfig
  # Ruby installed directory.
  TOPDIR = File.dirname(__FILE__).chomp!("/lib/ruby/9.8.0/x86_64-linux")
  CONFIG = {{}}
  CONFIG["MAJOR"] = "9"
  CONFIG["MINOR"] = "8"
  CONFIG["TEENY"] = "1"
  CONFIG["prefix"] = (TOPDIR || DESTDIR + "{prefix}")
  CONFIG["configure_args"] = " '--prefix={prefix}' '--enable-shared' 'CFLAGS=-O3 -DX=\\"y\\"'"
  CONFIG["exec_prefix"] = "$(prefix)"
  CONFIG["libdir"] = "$(exec_prefix)/lib"
  CONFIG["ruby_version"] = "9.8.0"
  CONFIG["RUBY_BASE_NAME"] = "ruby"
  CONFIG["sitearch"] = "x86_64-linux"
  CONFIG["rubylibprefix"] = "$(libdir)/$(RUBY_BASE_NAME)"
  CONFIG["sitearchdir"] = "$(rubylibprefix)/site_ruby/$(ruby_version)/$(sitearch)"
  CONFIG["vendorarchdir"] = "$(rubylibprefix)/vendor_ruby/$(ruby_version)/$(sitearch)"
end
"""
PERL_MAINS = ("perl_alloc", "perl_construct", "perl_parse", "perl_run")
PERL_CODE = "".join(f"int {name}(void) {{ return 0; }}\n" for name in PERL_MAINS)
PERL_CALLS = "".join(f"extern int {name}(void);\n" for name in PERL_MAINS)
PERL_MAIN = "int main(void) { return " + " + ".join(f"{name}()" for name in PERL_MAINS) + "; }\n"
PHP_CODE = (
    "int php_module_startup(void) {{ return 0; }}\n"
    'const char *texts[] = {{"X-Powered-By: PHP/9.8.1", "{extensions}", "{settings}", "API20990101,{threads}", '
    "\"{name}\", \" './configure'  '--prefix={prefix}' '--enable-cli'\"}};\n"
    "int main(int c, char **v) {{ return texts[c][0] + php_module_startup(); }}\n"
)
PYPY_CODE = (
    'const char *text = "3.99.16 (7.98.1+dfsg-2, Dec 30 2030, 22:36:23)\\n[PyPy 7.98.1 with GCC 12.2.0]";\n'
    "int pypy_main_startup(int c, char **v) { return text[c]; }\n"
)
PYPY_MAIN = (
    "extern int pypy_main_startup(int, char **);\nint main(int c, char **v) { return pypy_main_startup(c, v); }\n"
)


def make_node(top: Path, prefix: str = "/opt/node", *, name: str = "node", headers: bool = True) -> str:
    """Build a Node.js whose code is linked in, with its headers."""
    folder = top / prefix.lstrip("/")
    compile_c(folder / "bin" / name, NODE_CODE, "-rdynamic")
    if headers:
        include = folder / "include/node"
        include.mkdir(parents=True)
        numbers = {"MAJOR": 99, "MINOR": 8, "PATCH": 1}
        text = "".join(f"#define NODE_{part}_VERSION {number}\n" for part, number in numbers.items())
        (include / "node_version.h").write_text(text)
    return f"{prefix}/bin/{name}"


def make_ruby(top: Path, prefix: str = "/opt/ruby", *, is_shared: bool = True) -> str:
    """Build a Ruby with its configuration and one standard module."""
    folder = top / prefix.lstrip("/")
    if is_shared:
        library = shared(folder / "lib/libruby.so.9.8", RUBY_CODE, "libruby.so.9.8")
        compile_c(folder / "bin/ruby", RUBY_MAIN, str(library), "-Wl,-rpath,$ORIGIN/../lib")
    else:
        compile_c(folder / "bin/ruby", RUBY_CODE + RUBY_MAIN, "-rdynamic")
    arch = folder / "lib/ruby/9.8.0/x86_64-linux"
    arch.mkdir(parents=True)
    (arch / "rbconfig.rb").write_text(RBCONFIG.format(prefix=prefix))
    shared(arch / "stringio.so", "int Init_stringio(void) { return 0; }\n", None)
    return f"{prefix}/bin/ruby"


def make_perl(
    top: Path,
    prefix: str = "/opt/perl",
    *,
    is_shared: bool = False,
    name: str = "perl",
    is_relocatable: bool = False,
) -> str:
    """Build a Perl that names its folders, with its configuration and one standard module."""
    folder = top / prefix.lstrip("/")
    standard = f"{prefix}/lib/perl/5.99.1/x86_64-linux"
    site = f"{prefix}/lib/site_perl/5.99.1/x86_64-linux"
    told = [text.replace(prefix, ".../..") if is_relocatable else text for text in (standard, site)]
    code = PERL_CODE + f'const char *texts[] = {{"v5.99.1", "{told[0]}", "{told[1]}"}};\n'
    if is_shared:
        library = shared(folder / "lib/libperl.so.5.99", code, "libperl.so.5.99")
        compile_c(folder / "bin" / name, PERL_CALLS + PERL_MAIN, str(library), "-Wl,-rpath,$ORIGIN/../lib")
    else:
        compile_c(folder / "bin" / name, code + PERL_MAIN, "-rdynamic")
    place = top / standard.lstrip("/")
    shared(place / "auto/POSIX/POSIX.so", "int boot_POSIX(void) { return 0; }\n", None)
    (place / "Config.pm").write_text(
        "tie %Config, 'Config', {\n    useithreads => 'define',\n    version => '5.99.1',\n};\n"
    )
    (place / "Config_heavy.pl").write_text(f"prefixexp='{prefix}'\nsitearchexp='{told[1]}'\narchlibexp='{told[0]}'\n")
    return f"{prefix}/bin/{name}"


def make_php(
    top: Path,
    prefix: str = "/opt/php",
    *,
    name: str = "php9.8",
    threads: str = "NTS",
    configured: str | None = None,
) -> str:
    """Build a PHP with one extension and its folder of settings."""
    folder = top / prefix.lstrip("/")
    extensions = f"{prefix}/lib/php/20990101"
    settings = f"{prefix}/etc/php/conf.d"
    source = PHP_CODE.format(
        extensions=extensions, settings=settings, threads=threads, name=name, prefix=configured or prefix
    )
    compile_c(folder / "bin" / name, source, "-rdynamic")
    if not (folder / "lib/php/20990101/ctype.so").exists():
        shared(folder / "lib/php/20990101/ctype.so", "int get_module(void) { return 0; }\n", None)
        (folder / "etc/php/conf.d").mkdir(parents=True)
    return f"{prefix}/bin/{name}"


def make_pypy(top: Path, prefix: str = "/opt/pypy") -> str:
    """Build a PyPy with its standard library."""
    folder = top / prefix.lstrip("/")
    library = shared(folder / "lib/libpypy3.99-c.so", PYPY_CODE, "libpypy3.99-c.so")
    compile_c(folder / "bin/pypy3.99", PYPY_MAIN, str(library), "-Wl,-rpath,$ORIGIN/../lib")
    (folder / "bin/pypy3").symlink_to("pypy3.99")
    (folder / "bin/python").symlink_to("pypy3.99")
    standard = folder / "lib/pypy3.99"
    standard.mkdir()
    (standard / "os.py").write_text("")
    shared(standard / "_lzma_cffi.pypy399-pp73-x86_64-linux-gnu.so", "int f(void) { return 0; }\n", None)
    return f"{prefix}/bin/pypy3.99"


def add_tls_module(target: Path, ssl: Path) -> Path:
    """Compile a module that needs a libssl."""
    return shared(target, MODULE, None, str(ssl), "-Wl,--no-as-needed")
