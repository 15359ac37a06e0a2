#!/usr/bin/env bash
# Code metrics beside the tools whose rules they follow: do they agree, and which is faster?
#
#   benches/compare_code_metrics.sh            the standard library of the installed Python (radon), npm
#                                              packages (ESLint), the crates in cargo's registry and any
#                                              folders given as GO_SOURCES and JAVA_SOURCES (lizard)
#   benches/compare_code_metrics.sh samples    what the tools give for tests/code/, for tests/code/numbers.tsv
#
# Needs python3 with radon and lizard (pip install radon==6.0.1 lizard==1.24.3) and, for ESLint, npm; a tool
# that is missing is passed over. Nothing is written into the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-sources}
tool=${CARGO_TARGET_DIR:-target}/release/examples/code_metrics
tool=$(realpath -m "$tool")
[ "$mode" = samples ] || cargo build --quiet --release --example code_metrics
export TOOL=$tool MODE=$mode
work=${WORK:-$(mktemp -d)}
mkdir -p "$work"

python3 -W ignore - <<'PYTHON'
import collections, os, resource, subprocess, sysconfig, time
mode, tool = os.environ["MODE"], os.environ["TOOL"]

def ours(files):
    text = subprocess.run([tool, "--functions", "-"], input="\n".join(files), capture_output=True, text=True).stdout
    found = collections.defaultdict(list)
    for line in text.split("\n"):
        parts = line.split("\t")
        if len(parts) == 4:
            found[parts[0]].append((int(parts[1]), parts[2], int(parts[3])))
    return found

def report(name, size, taken, files):
    """Throughput in seconds of the processor, which others' work on this machine disturbs least."""
    clock = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    begun = clock()
    subprocess.run([tool, "--time", "-"], input="\n".join(files), capture_output=True, text=True, check=True)
    here = clock() - begun
    print(f"  {size} bytes: {name} {size / 1e6 / taken:.2f} MB/s, here {size / 1e6 / here:.2f} MB/s, {taken / here:.1f} times")

def walk(roots, end):
    for root in roots:
        for folder, _, names in os.walk(root):
            if "site-packages" not in folder:
                yield from (os.path.join(folder, n) for n in sorted(names) if n.endswith(end))

def radon_functions(visitor):
    def closures(f):
        yield f
        for c in f.closures:
            yield from closures(c)
    def methods(c):
        for m in c.methods:
            yield from closures(m)
        for inner in c.inner_classes:
            yield from methods(inner)
    for f in visitor.functions:
        yield from closures(f)
    for c in visitor.classes:
        yield from methods(c)

try:
    from radon.visitors import ComplexityVisitor
    from radon.raw import analyze
except ImportError:
    print("radon is not installed: passed over")
else:
    if mode == "samples":
        source = open("tests/code/sample.py").read()
        visitor, raw = ComplexityVisitor.from_code(source), analyze(source)
        for f in sorted(radon_functions(visitor), key=lambda f: f.lineno):
            print("sample.py", f.lineno, f.complexity, sep="\t")
        print("sample.py total", 0, visitor.total_complexity, sep="\t")
        print("sample.py logical", 0, raw.lloc, sep="\t")
        print("sample.py comments", 0, raw.comments, sep="\t")
    else:
        files, reference, taken, size = [], {}, 0.0, 0
        for file in walk([sysconfig.get_paths()["stdlib"]], ".py"):
            source = open(file, "rb").read()
            begun = time.process_time()
            try:
                visitor = ComplexityVisitor.from_code(source)
            except (SyntaxError, ValueError, RecursionError):
                continue
            taken += time.process_time() - begun
            files.append(file)
            size += len(source)
            reference[file] = collections.Counter((f.lineno, f.name, f.complexity) for f in radon_functions(visitor))
        found = ours(files)
        total = sum(sum(c.values()) for c in reference.values())
        missing = sum(sum((reference[f] - collections.Counter(found[f])).values()) for f in files)
        print(f"radon, standard library: {total - missing} of {total} functions equal, {100 - 100 * missing / total:.4f} %")
        report("radon", size, taken, files)

try:
    import lizard
except ImportError:
    print("lizard is not installed: passed over")
else:
    def functions(file):
        source = open(file, errors="replace").read()
        begun = time.process_time()
        info = lizard.analyze_file.analyze_source_code(file, source)
        return info.function_list, time.process_time() - begun, len(source)
    if mode == "samples":
        for name in ["sample.rs", "sample.go", "Sample.java"]:
            for f in sorted(functions("tests/code/" + name)[0], key=lambda f: f.start_line):
                print(name, f.start_line, f.cyclomatic_complexity, sep="\t")
    else:
        home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
        sources = {".rs": [home + "/registry/src"], ".go": os.environ.get("GO_SOURCES", "").split(), ".java": os.environ.get("JAVA_SOURCES", "").split()}
        for end, roots in sources.items():
            files = [f for f in walk(roots, end) if os.path.getsize(f) < 300_000][: int(os.environ.get("MOST_FILES", "1500"))]
            found, n, equal, taken, size = ours(files), 0, 0, 0.0, 0
            kinds = collections.Counter()
            for file in files:
                listed, seconds, length = functions(file)
                taken, size = taken + seconds, size + length
                for f in listed:
                    n += 1
                    name = f.name.split("::")[-1]
                    near = [c for line, called, c in found[file] if abs(line - f.start_line) <= 3 and called in (name, "")]
                    if f.cyclomatic_complexity in near:
                        equal += 1
                    else:
                        kinds["not found under this name" if not near else "another number"] += 1
            if n:
                print(f"lizard, {len(files)} files {end}: {equal} of {n} functions equal, {100 * equal / n:.2f} %; {dict(kinds)}")
                report("lizard", size, taken, files)
PYTHON

command -v npm >/dev/null || { echo 'npm is not installed: ESLint is passed over'; exit 0; }
cp tests/code/sample.* "$work"
(cd "$work" && [ -d node_modules/eslint ] || (cd "$work" && npm init -y && npm install --silent eslint@10.15.0 @typescript-eslint/parser typescript \
  express lodash webpack rxjs@7 zod @reduxjs/toolkit effect @trpc/server) >/dev/null 2>&1)
cat >"$work/compare.mjs" <<'JAVASCRIPT'
import { Linter } from 'eslint';
import parser from '@typescript-eslint/parser';
import { execFileSync } from 'child_process';
import fs from 'fs';
import path from 'path';
const { TOOL: tool, MODE: mode } = process.env;
const linter = new Linter({ configType: 'flat' });
const lint = (code, extension) => {
  const typed = /^\.[cm]?tsx?$/.test(extension);
  const run = (sourceType) => linter.verify(code, [{
    files: ['**/*.js', '**/*.jsx', '**/*.cjs', '**/*.mjs', '**/*.ts', '**/*.tsx', '**/*.mts', '**/*.cts'],
    linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'off' },
    languageOptions: { ecmaVersion: 'latest', sourceType, ...(typed ? { parser } : {}), parserOptions: { ecmaFeatures: { jsx: extension !== '.ts' } } },
    rules: { complexity: ['error', 0] },
  }], { filename: 'x' + extension });
  let found = run('module');
  if (found.some((m) => m.fatal)) found = run('commonjs');
  if (found.some((m) => m.fatal)) return null;
  return found.filter((m) => m.ruleId === 'complexity').map((m) => [m.line, +/complexity of (\d+)/.exec(m.message)[1]]);
};
if (mode === 'samples') {
  for (const name of ['sample.js', 'sample.jsx', 'sample.ts', 'sample.tsx']) {
    for (const [line, complexity] of lint(fs.readFileSync(name, 'utf8'), path.extname(name))) console.log([name, line, complexity].join('\t'));
  }
  process.exit();
}
const list = (folder, out = []) => {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) { if (entry.name !== 'node_modules') list(file, out); }
    else if (/\.([cm]?[jt]s|[jt]sx)$/.test(entry.name) && !/\.d\.[cm]?ts$|\.min\./.test(entry.name)) out.push(file);
  }
  return out;
};
const compare = (title, folders) => {
  const reference = {};
  let seconds = 0, bytes = 0;
  for (const file of folders.flatMap((f) => list('node_modules/' + f))) {
    const code = fs.readFileSync(file, 'utf8');
    const begun = process.hrtime.bigint();
    const found = lint(code, path.extname(file));
    if (!found) continue;
    seconds += Number(process.hrtime.bigint() - begun) / 1e9;
    bytes += Buffer.byteLength(code);
    reference[file] = found;
  }
  const files = Object.keys(reference);
  const call = (...flags) => execFileSync(tool, [...flags, '-'], { input: files.join('\n'), maxBuffer: 1 << 30 }).toString();
  const ours = {};
  for (const line of call('--functions').split('\n')) {
    const parts = line.split('\t');
    if (parts.length === 4) (ours[parts[0]] ??= []).push(+parts[3]);
  }
  let n = 0, equal = 0;
  for (const file of files) {
    const left = new Map();
    for (const c of ours[file] ?? []) left.set(c, (left.get(c) ?? 0) + 1);
    for (const [, c] of reference[file]) {
      n += 1;
      if ((left.get(c) ?? 0) > 0) { left.set(c, left.get(c) - 1); equal += 1; }
    }
  }
  console.log(`ESLint, ${title}: ${equal} of ${n} functions equal, ${(100 * equal / n).toFixed(3)} %`);
  const verdicts = call().split('\n').filter(Boolean).map((line) => JSON.parse(line));
  const invalid = verdicts.filter(({ metrics }) => metrics.syntax !== 'valid').map(({ file }) => file);
  console.log(`  valid files that are not called valid: ${invalid.length} of ${files.length} ${invalid.slice(0, 5)}`);
  console.log(`  ESLint ${bytes} bytes, ${(bytes / 1e6 / seconds).toFixed(2)} MB/s`);
  console.log('  here  ', call('--time').trim());
};
compare('JavaScript of express, lodash, eslint, webpack', ['express', 'lodash', 'eslint/lib', 'webpack/lib']);
compare('TypeScript of effect, rxjs, zod, @reduxjs/toolkit, @trpc/server', ['effect/src', 'rxjs/src', 'zod/src', '@reduxjs/toolkit/src', '@trpc/server/src']);
JAVASCRIPT
cd "$work" && node compare.mjs
