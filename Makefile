# SPDX-License-Identifier: MIT
#
# The whole build of librt: one Makefile, not recursive, every output under build/.
#
# Folders are read with wildcards, so that a new file needs no line here; where it lies says what it
# becomes. configure's answers are in build/config.mk, which make brings up to date before it reads
# on. An object depends on its headers (-MMD) and on $(B)/flags, a file that changes only when the
# compile command does: configuring again with the same result rebuilds nothing. The sanitizer
# builds are this same Makefile with another $(B).

MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL = all
.DELETE_ON_ERROR:

B = build
SANITIZE =
LDCONFIG = ldconfig
PORT = 8080
ARGS = --port $(PORT) --root $(or $(wildcard examples/httpd/www),examples)

# ---- configuration ------------------------------------------------------------------------------

# The other goals need no answers, or must install a compiler before it can be asked.
ifneq ($(filter all tests perf tidy install uninstall build/%,$(or $(MAKECMDGOALS),all)),)
include build/config.mk
endif

build/config.mk: configure include/rt/version.h.in .ci/packages $(wildcard tests/configure/*)
	@./configure $(CONFIGURE_ARGUMENTS)

# Quiet by default, in the manner of liburing; V=1 shows every command. say also makes the folder.
V = 0
ifeq ($(V),0)
Q = @
say = @mkdir -p $(@D); printf '  %-8s %s\n'
else
Q =
say = @mkdir -p $(@D); :
endif

# ---- flags --------------------------------------------------------------------------------------

includes = -Iinclude -Isrc -Iarch/$(ARCH) -Ibuild $(PACKAGE_CFLAGS)
common = $(OPTIMIZE) -fno-omit-frame-pointer $(OPTIONAL_FLAGS) -pthread $(SANITIZE)
warnings = -Wall -Wextra -Werror
compile = $(CXX) -std=c++23 $(common) $(warnings) $(includes) $(CXXFLAGS)
link = $(CXX) $(common) -Wl,--build-id $(LDFLAGS)
library_flags = -fPIC -fvisibility=hidden -fvisibility-inlines-hidden -Wmissing-prototypes
libraries = $(PACKAGE_LIBS) $(if $(SANITIZE),,$(JEMALLOC_LIBS))

# ---- what becomes what --------------------------------------------------------------------------

name = $(basename $(notdir $(1)))
# objects FILE...: the object files of source files.
objects = $(patsubst %,$(B)/obj/%.o,$(basename $(1)))
# folders PATTERN: names of the folders that have a file of the pattern.
folders = $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard $(1))))))

library_objects = $(call objects,$(filter-out src/tools/%,$(wildcard src/*/*.cc)))
static_library = $(B)/lib/librt-numa.a
shared_library = $(B)/lib/librt-numa.so.$(SOVERSION)

tools := $(filter rtctl rtop,$(call name,$(wildcard src/tools/*.cc)))
tool_support := $(filter-out src/tools/rtctl% src/tools/rtop%,$(wildcard src/tools/*.cc))

example_files := $(wildcard examples/*.cc)
example_folders := $(call folders,examples/*/*.cc)

perf_files := $(wildcard perf/*.cc perf/micro/*.cc perf/macro/*.cc)
perf_folders := $(filter-out micro macro raw support,$(call folders,perf/*/*.cc))
perf_support := $(wildcard perf/support/*.cc)
raw_files := $(wildcard perf/raw/*.cc perf/raw/*.c)

test_folders := $(call folders,tests/*/*_test.cc)
test_support := $(wildcard tests/support/*.cc)
# ThreadSanitizer and Criterion do not get along: its build takes the runner in tests/support.
criterion := $(if $(findstring LIBRT_TEST_RUNNER,$(SANITIZE)),,-lcriterion)

# program OUTPUT,SOURCES,ARCHIVES,LIBRARIES: the rule that links a program.
define program
programs += $(B)/$(1)
$(B)/$(1): $(call objects,$(2)) $(3) $(B)/flags $(B)/sources
	$$(say) LINK $$@
	$$(Q)$$(link) -o $$@ $$(filter %.o %.a,$$^) $(4)
endef
make_program = $(eval $(call program,$(strip $(1)),$(2),$(3),$(4)))
with_librt = $(call make_program,$(1),$(2),$(static_library),$(libraries) $(3))

$(foreach f,$(example_files),$(call with_librt,bin/$(call name,$(f)),$(f)))
$(foreach d,$(example_folders),$(call with_librt,bin/$(d),$(wildcard examples/$(d)/*.cc)))
# The tools speak to the socket only: they get base, and never the runtime.
$(foreach t,$(tools),$(call make_program,\
	bin/$(t),$(wildcard src/tools/$(t)*.cc) $(tool_support),$(B)/lib/base.a))
all_programs := $(programs)
programs :=
$(foreach f,$(perf_files),$(call with_librt,bin/perf-$(call name,$(f)),$(f) $(perf_support)))
$(foreach d,$(perf_folders),$(call with_librt,bin/perf-$(d),\
	$(wildcard perf/$(d)/*.cc) $(perf_support)))
# What librt is measured against, on liburing alone.
$(foreach f,$(raw_files),$(call make_program,bin/raw-$(call name,$(f)),$(f),,$(PACKAGE_LIBS)))
perf_programs := $(programs)
programs :=
# Tests of a program (tests/tools, tests/<example>) get its sources, without the one that has main.
tested = $(filter-out %/main.cc %/$(1).cc %/rtctl.cc %/rtop.cc,\
	$(wildcard examples/$(1)/*.cc $(filter src/tools/%,src/$(1)/*.cc)))
$(foreach d,$(test_folders),$(call with_librt,tests/$(d),\
	$(wildcard tests/$(d)/*.cc) $(call tested,$(d)) $(test_support),$(criterion)))
test_programs := $(programs)

.PHONY: all tests perf FORCE
#: Goals of librt (V=1 shows the commands, ./configure --help the options):
#:
#:   all         libraries, tools and examples (the default); tests, perf: their programs
all: $(static_library) $(if $(SANITIZE),,$(shared_library)) $(all_programs)
tests: all $(test_programs)
perf: all $(perf_programs)

# ---- rules --------------------------------------------------------------------------------------

# Two files that change only when their text does: the commands, and the list of all sources, so
# that what a deleted file was part of is linked anew.
$(B)/flags: text = $(compile) $(library_flags) $(link) $(libraries)
$(B)/sources: text = $(wildcard $(foreach d,src examples perf tests,$(d)/*.cc $(d)/*/*.cc))
$(B)/flags $(B)/sources: FORCE
	@mkdir -p $(@D)
	@echo '$(text)' | cmp -s - $@ || echo '$(text)' >$@

$(B)/obj/src/%.o: private compile += $(library_flags)
$(B)/obj/tests/%.o: private compile += -Itests -Iexamples
$(B)/obj/perf/%.o: private compile += -Iperf

$(B)/obj/%.o: %.cc $(B)/flags
	$(say) CXX $<
	$(Q)$(compile) -MMD -MP -c -o $@ $<

$(B)/obj/%.o: %.c $(B)/flags
	$(say) CC $<
	$(Q)$(CC) $(common) $(warnings) $(includes) -MMD -MP -c -o $@ $<

-include $(wildcard $(B)/obj/*/*.d $(B)/obj/*/*/*.d)

$(B)/lib/base.a: $(filter $(B)/obj/src/base/%,$(library_objects)) $(B)/sources
$(static_library): $(library_objects) $(B)/sources
$(B)/lib/%.a:
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(shared_library): $(library_objects) $(B)/sources $(B)/flags src/librt.map
	$(say) LINK $@
	$(Q)$(link) -shared -Wl,-soname,$(@F) -Wl,--version-script=src/librt.map -Wl,-z,defs -o $@ \
		$(library_objects) $(libraries)
	@ln -sf $(@F) $(B)/lib/librt-numa.so

# ---- the two commands, and the checks -----------------------------------------------------------

.PHONY: run check packages asan tsan model tidy format perf-smoke perf-http perf-sched
# As many jobs as there are processors, unless the caller chose a number.
parallel = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

#:   run         install what is missing, build, start the HTTP server (PORT=8080 ARGS=...)
run:
	@.ci/install build
	+$(Q)$(parallel) all
	@exec build/bin/httpd $(ARGS)

#:   check       install what is missing, build, run every test
check:
	@.ci/install build check
	+$(Q)$(parallel) tests perf
	@tests/run

#:   asan tsan   the unit tests under AddressSanitizer and UBSan, or under ThreadSanitizer
asan: sanitizer = -fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined
tsan: sanitizer = -fsanitize=thread -DLIBRT_TEST_RUNNER
asan tsan:
	@.ci/install build check
	+$(Q)$(parallel) B=build/$@ SANITIZE='$(sanitizer) -DRT_SANITIZED' tests
	@tests/run --build build/$@

#:   model       the interleavings of tests/model alone, more of them
#:   perf-smoke  every benchmark, tiny; perf-http, perf-sched: theirs in full (PERF_ARGS=--help)
model perf-smoke:
	+$(Q)$(parallel) tests perf
	@RT_MODEL_DEPTH=$${RT_MODEL_DEPTH-1} tests/run --only $@

perf-http perf-sched:
	@.ci/install build check && { .ci/install perf || echo '$@: a peer will be missing'; }
	+$(Q)$(parallel) perf
	@$(or $(wildcard $(@:perf-%=perf/%)/compare),$(@:perf-%=perf/%)) $(PERF_ARGS)

#:   tidy        style, layers, headers, manual pages
tidy:
	@CXX='$(CXX)' CXXFLAGS='-std=c++23 $(includes)' tests/tidy/tidy.py

#:   format      clang-format everything
format:
	clang-format-14 -i \
	  $$(find $(wildcard src include arch examples tests perf) -name '*.cc' -o -name '*.h')

#:   packages    install everything that any goal here needs
packages:
	@.ci/install build check perf

# ---- installing ---------------------------------------------------------------------------------

.PHONY: install uninstall clean distclean help
headers := $(wildcard include/rt/*.h include/rt/*/*.h)
manuals := $(foreach n,1 3 7,$(wildcard man/*.$(n)))
scripts := $(wildcard perf/scripts/*.bt)
sharedir = $(prefix)/share/librt
cmakedir = $(libdir)/cmake/librt
# Every file that install copies and uninstall removes, as mode:source:destination.
installed = $(foreach h,$(headers:include/%=%),644:include/$(h):$(includedir)/$(h)) \
	644:build/rt/version.h:$(includedir)/rt/version.h \
	644:$(static_library):$(libdir)/$(notdir $(static_library)) \
	644:$(shared_library):$(libdir)/$(notdir $(shared_library)) \
	644:$(B)/install/librt.pc:$(libdir)/pkgconfig/librt.pc \
	$(foreach c,librt-config librt-config-version,644:$(B)/install/$(c).cmake:$(cmakedir)/$(c).cmake) \
	$(foreach t,$(tools),755:$(B)/bin/$(t):$(prefix)/bin/$(t)) \
	$(foreach m,$(manuals),644:$(m):$(mandir)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))) \
	$(foreach s,$(scripts),644:$(s):$(sharedir)/$(notdir $(s)))
owned_folders = $(includedir)/rt/* $(includedir)/rt $(cmakedir) $(sharedir)

$(B)/install/%: src/%.in FORCE
	@mkdir -p $(@D)
	@sed -e 's|@version@|$(VERSION)|' -e 's|@soversion@|$(SOVERSION)|' -e 's|@prefix@|$(prefix)|' \
	  -e 's|@libdir@|$(libdir)|' -e 's|@includedir@|$(includedir)|' \
	  -e 's|@libraries@|$(strip $(libraries))|' $< >$@

#:   install     into PREFIX, below DESTDIR= if given; uninstall removes the same files
install: all $(addprefix $(B)/install/,librt.pc librt-config.cmake librt-config-version.cmake)
	$(say) INSTALL $(DESTDIR)$(prefix)
	$(Q)set -e; for entry in $(installed); do \
	  mode=$${entry%%:*}; to=$${entry##*:}; from=$${entry#*:}; \
	  install -D -m $$mode $${from%:*} $(DESTDIR)$$to; done
	$(Q)ln -sf $(notdir $(shared_library)) $(DESTDIR)$(libdir)/librt-numa.so
	@[ -n "$(DESTDIR)" ] || $(LDCONFIG) 2>/dev/null || echo 'Now run ldconfig, as root.'

uninstall:
	$(say) REMOVE $(DESTDIR)$(prefix)
	$(Q)rm -f $(DESTDIR)$(libdir)/librt-numa.so \
	  $(foreach entry,$(installed),$(DESTDIR)$(lastword $(subst :, ,$(entry))))
	@rmdir $(addprefix $(DESTDIR),$(owned_folders)) 2>/dev/null || :

#:   clean       remove what was built; distclean also what configure wrote
clean distclean:
	rm -rf $(if $(filter clean,$@),$(filter-out build/config.% build/rt,$(wildcard build/*)),build)

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile
