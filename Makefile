# hermet: a PGXS extension in C++17. `make help` lists the targets.

EXTENSION = hermet
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" hermet.control)
MODULE_big = hermet

PG_CONFIG ?= pg_config
srcdir = .

CXX_SRCS := $(sort $(wildcard src/*.cpp src/*/*.cpp))
CXX_HDRS := $(sort $(wildcard src/*.h src/*/*.h))
OBJS = $(CXX_SRCS:.cpp=.o)
SQL_PIECES := $(sort $(wildcard src/sql/*.sql))
SQL_SCRIPT = hermet--$(EXTVERSION).sql
# The scripts of earlier versions, as they were; each has a script that leads from it to this version.
OLD_SCRIPTS := $(sort $(wildcard src/sql/history/hermet--*.sql))
UPGRADE_SCRIPTS = $(patsubst src/sql/history/%.sql,%--$(EXTVERSION).sql,$(OLD_SCRIPTS))
DATA_built = $(SQL_SCRIPT) $(UPGRADE_SCRIPTS)
DATA = $(OLD_SCRIPTS)
EXTRA_CLEAN = hermet--*.sql $(CXX_SRCS:.cpp=.d) $(CXX_SRCS:.cpp=.bc) build results \
	regression.diffs regression.out output_iso tmp_check test/pqxx/bin test/stream/bin

# On PostgreSQL 15 the server's headers do not mark what is exported, so src/hermet.map does.
# Bitcode for JIT inlining ignores PG_CXXFLAGS and serves nothing here.
PG_CPPFLAGS = -Isrc -DHERMET_VERSION='"$(EXTVERSION)"'
PG_CXXFLAGS = -std=c++17 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-register -fno-rtti -MMD
SHLIB_LINK += -lstdc++ -Wl,--version-script=src/hermet.map
override with_llvm = no

# These have recipes of their own and need no pg_config: they install what is missing first.
OWN_GOALS = help deps check check-metrics demo demo-nodes demo-shards replay storm soak sanitize mutants bench format lint dist

ifneq ($(filter $(OWN_GOALS),$(MAKECMDGOALS)),)

# PGXS has a `check` that only refuses. So it stays out of this run, and other goals of the same
# command line (`make clean check`) go to a make of their own, in the order given.
.NOTPARALLEL:
OTHER_GOALS := $(filter-out $(OWN_GOALS),$(MAKECMDGOALS))
.PHONY: $(OWN_GOALS) $(OTHER_GOALS)
ifneq ($(OTHER_GOALS),)
$(OTHER_GOALS):
	@$(MAKE) --no-print-directory $@
endif

export PG_CONFIG

help:
	@sed -n 's/^#: //p' Makefile

#: make                      build the extension (PGXS; PG_CONFIG=... picks the server)
#: make install              install it into that server (DESTDIR=... into a folder)
#: make clean                remove everything that was built
#: make deps                 install what building and testing need (Debian; root or sudo)
deps:
	@test/install-deps build test

#: make check                every test, on a throwaway cluster; ends in `N passed, N failed`
#:                             ONLY="static regress isolation tap pqxx" picks parts, TESTS="a b" tests of them
#:                             LOGS=folder replays chat logs from there too
check: deps
	@test/check

#: make check-metrics        Prometheus scrapes a throwaway cluster, and every query of the dashboard returns data
check-metrics: deps
	@test/metrics/scrape

#: make demo                 a guided tour on a throwaway cluster (KEEP=1 leaves it running)
demo: deps
	@test/demo/run

#: make demo-nodes           read nodes, on three throwaway clusters (KEEP=1 leaves them running)
demo-nodes: deps
	@test/demo/nodes

#: make demo-shards          partitions, on a throwaway cluster (KEEP=1 leaves it running)
demo-shards: deps
	@test/demo/shards

#: make replay LOGS=folder   play chat logs into an instance, then check it (PGHOST=... uses a server of yours)
replay: deps
	@test/replay

#: make storm SECONDS=120    random writes of every kind over many connections, then check
storm: deps
	@SECONDS_OF_STORM=$(SECONDS) test/storm

#: make soak SOAK_MINUTES=10 a primary under load and two read nodes that are stopped, killed and copied again, for so long
soak: deps
	@ONLY=tap TESTS=040_read_nodes SOAK_MINUTES=$(or $(SOAK_MINUTES),10) test/check

#: make sanitize             regress, model, storm and fuzzer with ASan and UBSan in the extension (minutes)
#:                             ONLY="model storm fuzz" picks parts, SHARDS=4,8 runs them on sharded instances
sanitize: deps
	@test/sanitize

#: make bench                measure against joins, PL/pgSQL and hand-written SQL; writes docs/benchmarks.md (20 minutes)
#:                             SCALE=0.1 for a smaller data set, ONLY="reads writes" picks parts
bench:
	@test/install-deps build test bench
	@test/bench/run

#: make mutants              plant known bugs one by one and see a test fail for each (an hour)
#:                             BUGS="name name" picks some of test/mutants/list
mutants: deps
	@test/mutants/run $(BUGS)

#: make format               clang-format over all C++ sources
#: make lint                 clang-format, clang-tidy, cppcheck and shellcheck, nothing changed
format:
	@test/install-deps lint
	@test/lint --fix

lint:
	@test/install-deps build lint
	@test/lint

#: make dist                 build/hermet-VERSION.zip for PGXN, from the last commit
dist:
	@mkdir -p build
	git archive --format=zip --prefix=hermet-$(EXTVERSION)/ -o build/hermet-$(EXTVERSION).zip HEAD

else

PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

ifneq ($(PGXS),)
include $(PGXS)
.DELETE_ON_ERROR:

# The parts in the order of their names.
$(SQL_SCRIPT): $(SQL_PIECES) hermet.control
	$(if $(SQL_PIECES),,$(error there is no SQL under src/sql))
	sed 's/@VERSION@/$(EXTVERSION)/g' $(SQL_PIECES) >$@

$(UPGRADE_SCRIPTS): %--$(EXTVERSION).sql: src/sql/history/%.sql src/sql/history/upgrade.awk $(SQL_PIECES) hermet.control
	awk -v version=$(EXTVERSION) -f src/sql/history/upgrade.awk $< $(SQL_PIECES) >$@

$(OBJS): Makefile hermet.control
-include $(CXX_SRCS:.cpp=.d)

else

.PHONY: all install uninstall installcheck clean
all install uninstall installcheck:
	@echo "PostgreSQL's extension building files were not found through '$(PG_CONFIG)'." >&2
	@echo "Set PG_CONFIG, or let \`make deps\` install what is missing." >&2
	@exit 1

clean:
	rm -rf hermet.so $(OBJS) $(EXTRA_CLEAN)

endif
endif
