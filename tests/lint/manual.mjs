// manual: what stands in a table of facts of the source stands in the manual pages, and what the pages name stands in the
// source: options, signals with the words of -s, exit statuses, environment variables, paths; names of the configuration with
// their groups, ranges, words and defaults; metrics with their labels, words and fields of the logs, messages under DIAGNOSTICS.
//
//	node tests/lint/manual.mjs [directory]
//
// complains in lines "man/PAGE: what is wrong", and ends with 1 if there are any. tests/system/manuals.test.mjs has it find
// each kind of fault.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGES = ['api-router.8', 'api-router-signals.7', 'api-router.conf.5'];

// ---- mdoc

// Callable macros, which are no words of the text.
const MACROS = new Set('Ar Brq Bro Brc Cm Dv Em Ev Fl Ic Li Lk No Ns Op Pa Pc Po Pq Qc Ql Qo Qq Sx Sy Xr'.split(' '));
const words = (line) => (line.match(/"(?:[^"]|"")*"|\S+/g) ?? []).map((w) => w.replace(/^"(.*)"$/, '$1'));
const unescape = (text) => text.replace(/\\\(dq/g, '"').replace(/\\&/g, '').replace(/\\e/g, '\\');

// What a reader sees of a line, but for type and the spaces of Ns.
export function plain(line) {
	if (!line.startsWith('.'))
		return unescape(line);
	const [macro, ...rest] = words(line.slice(1));
	const all = macro === 'It' ? rest : [macro, ...rest];
	let out = '';
	let quoted = false;
	const close = () => {
		if (quoted)
			out = `${out.trimEnd()}"`;
		quoted = false;
	};
	for (const word of all) {
		if (word === 'Qq') {
			out += ' "';
			quoted = true;
		} else if (/^[.,;:)]$/.test(word)) {
			close();
			out += word;
		} else if (!MACROS.has(word)) {
			out += out.endsWith('"') && quoted ? word : ` ${word}`;
		}
	}
	close();
	return unescape(out.trim());
}
export const flat = (lines) => lines.map(plain).join(' ').replace(/ ([.,;:)])/g, '$1').replace(/" ?"/g, '""');

// The words behind one macro, wherever it stands in these lines.
export function marked(lines, macro) {
	const found = [];
	for (const line of lines) {
		let now = '';
		for (const word of line.startsWith('.') ? words(line.slice(1)) : [])
			if (MACROS.has(word) || word === 'It')
				now = word;
			else if (now === macro && !/^[.,;:()]$/.test(word))
				found.push(word);
	}
	return found;
}

// A page as sections { title, lines, text, items }; an item of a list is { head, line, text, lines, items }: `text` are the lines of its
// own, `lines` all down to its end. Of items that stand directly one after the other, the first have the text of the last.
export function parse(page) {
	const sections = [];
	let at;
	let stack = [];
	const all = page.split('\n');
	for (const [i, line] of all.entries()) {
		const [, title] = line.match(/^\.S[hs] (.*)/) ?? [];
		if (title) {
			at = { title: title.replace(/"/g, ''), top: line.startsWith('.Sh'), lines: [], text: [], items: [] };
			sections.push(at);
			stack = [at];
			continue;
		}
		if (!at)
			continue;
		for (const open of stack)
			open.lines.push(line);
		if (line.startsWith('.Bl')) {
			stack.push({ items: stack.at(-1).items, lines: [], list: true });
		} else if (line.startsWith('.El')) {
			while (!stack.pop().list);
		} else if (line.startsWith('.It')) {
			while (!stack.at(-1).list)
				stack.pop();
			const item = { head: line.slice(4), line: i + 1, text: [], lines: [line], items: [] };
			stack.at(-1).items.push(item);
			stack.push(item);
		} else {
			stack.at(-1).text?.push(line);
		}
	}
	const inherit = (items) => [...items].reverse().forEach((item, i, back) => {
		inherit(item.items);
		if (item.text.length === 0 && item.items.length === 0 && i > 0)
			item.text = back[i - 1].text;
	});
	sections.forEach((s) => inherit(s.items));
	return sections;
}
const everyItem = (items) => items.flatMap((item) => [item, ...everyItem(item.items)]);

// ---- the source

// The rows of a .def table: NAME(a, "b", c) as ['NAME', 'a', 'b', 'c'].
export function table(text) {
	return [...text.matchAll(/^([A-Z_]+)\((.*)\)/gm)].map(([, macro, row]) => [macro,
		...[...row.matchAll(/\s*("(?:[^"\\]|\\.)*"|[^",]*)\s*(?:,|$)/g)].map(([, w]) => w.trim().replace(/^"(.*)"$/, '$1'))]);
}
const strings = (code) => [...code.matchAll(/"((?:[^"\\\n]|\\.)*)"(?:\s*"((?:[^"\\\n]|\\.)*)")*/g)]
	.map(([whole]) => [...whole.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, s]) => s).join('').replace(/\\"/g, '"'));

// What the elements of a list, or of a group of free names, are.
const ELEMENTS = { LISTEN: 'LISTEN', CLIENTS: 'CLIENT', PROVIDERS: 'PROVIDER', ROUTES: 'ROUTE', HEADERS: 'HEADER', ENDPOINT_HEADERS: 'HEADER',
	MAPS: 'MAP', MODEL_OPTIONS: 'MODEL', ENDPOINTS: 'ENDPOINT', TARGETS: 'TARGET' };
// Labels of metrics that are not series, and so are written out one by one.
const GAUGE_LABELS = { CONNECTION: ['side', 'state'], STATE: ['state'], VERSION: ['version'] };
const STATUSES = { EX_OK: 0, EXIT_SUCCESS: 0, EXIT_FAILURE: 1, EX_USAGE: 64, EX_CONFIG: 78 };

// ---- the proof

export function check(read, sources) {
	const complaints = [];
	const page = Object.fromEntries(PAGES.map((name) => [name, parse(read(`man/${name}`))]));
	const [EIGHT, SEVEN, FIVE] = PAGES;
	const complain = (name, text) => complaints.push(`man/${name}: ${text}`);
	const section = (name, title) => {
		const found = page[name].find((s) => s.title === title);
		if (!found)
			complain(name, `has no section ${title}`);
		return found ?? { lines: [], text: [], items: [] };
	};
	const allLines = (name) => page[name].flatMap((s) => s.lines);
	// Both ways: what the source has and what the page names.
	const same = (name, what, source, said) => {
		for (const x of new Set(source))
			if (!said.includes(x))
				complain(name, `lacks ${what} ${x}`);
		for (const x of new Set(said))
			if (!source.includes(x))
				complain(name, `has ${what} ${x}, which the source does not have`);
	};
	const def = (name) => table(read(`include/${name}.def`));
	const code = sources.map((name) => read(name)).join('\n');

	function options() {
		const main = read('src/process/main.c');
		const [, spec] = main.match(/getopt\(argc, argv, ":?([^"]+)"\)/);
		const real = spec.match(/\w:?/g).sort();
		const args = (text) => [...text.matchAll(/-(\w+)( \w+)?/g)].flatMap(([, letters, argument]) => (argument ? [`${letters}:`] : [...letters]));
		const synopsis = section(EIGHT, 'SYNOPSIS').lines.flatMap((line) => {
			const [, flags, argument] = line.match(/^\.(?:Op )?Fl (\w+)( Ar)?/) ?? [, ''];
			return argument ? [`${flags}:`] : [...flags];
		});
		const list = everyItem(section(EIGHT, 'DESCRIPTION').items).map((item) => item.head.match(/^Fl (\w)( Ar)?/)).filter(Boolean)
			.map(([, letter, argument]) => letter + (argument ? ':' : ''));
		const usage = strings(main).join('').split('\\n').map((line) => line.match(/^ {2}-(\w)( \w+)? {2}/)).filter(Boolean)
			.map(([, letter, argument]) => letter + (argument ? ':' : ''));
		const short = strings(main).flatMap((s) => (/^(usage:)? +api-router [[-]|^usage: api-router/.test(s) ? args(s.replace(/.*?api-router /, '')) : []));
		same(EIGHT, 'in SYNOPSIS the option', real, synopsis);
		same(EIGHT, 'the option', real, list);
		for (const [what, said] of [['the usage', usage], ['the synopsis of the usage', short]])
			for (const x of new Set([...real, ...said]))
				if (!real.includes(x) || !said.includes(x))
					complaints.push(`src/process/main.c: ${what} and getopt do not agree on -${x}`);
	}

	function signals() {
		const rows = def('process/signal').map(([, name, word]) => ({ name: `SIG${name}`, word }));
		const names = rows.map((r) => r.name);
		const listed = (name, title) => section(name, title).items.flatMap((item) => marked([`.It ${item.head}`], 'Dv')).map((s) => (s.startsWith('SIG') ? s : `SIG${s}`));
		same(EIGHT, 'in SIGNALS', names, listed(EIGHT, 'SIGNALS'));
		same(SEVEN, 'in SIGNALS OF THE MASTER', names, listed(SEVEN, 'SIGNALS OF THE MASTER'));
		const s = everyItem(section(EIGHT, 'DESCRIPTION').items).find((item) => item.head.startsWith('Fl s '));
		const pairs = (s?.items ?? []).map((item) => `${marked([`.It ${item.head}`], 'Cm')[0]} ${marked(item.text, 'Dv')[0]}`);
		same(EIGHT, 'the word of -s', rows.filter((r) => r.word).map((r) => `${r.word} ${r.name}`), pairs);
		same(SEVEN, 'the word of -s', rows.filter((r) => r.word).map((r) => `${r.word} ${r.name}`),
			section(SEVEN, 'SIGNALS OF THE MASTER').items.flatMap((item) => {
				const line = [`.It ${item.head}`];
				return marked(line, 'Cm').map((word) => `${word} ${marked(line, 'Dv')[0]}`);
			}));
	}

	function statuses() {
		const used = ['main', 'master', 'daemon'].flatMap((name) =>
			[...read(`src/process/${name}.c`).matchAll(/\b(EX_[A-Z]+|EXIT_SUCCESS|EXIT_FAILURE)\b(?! \()/g)].map(([, s]) => String(STATUSES[s] ?? s)));
		for (const name of [EIGHT, SEVEN])
			same(name, 'the exit status', used, section(name, 'EXIT STATUS').items.map((item) => item.head));
	}

	function environment() {
		const real = [...code.matchAll(/\b(?:getenv|setenv|from_environment)\((?:l, )?"([A-Z_]+)"/g)].map(([, name]) => name);
		same(EIGHT, 'the environment variable', real, section(EIGHT, 'ENVIRONMENT').items.flatMap((item) => marked([`.It ${item.head}`], 'Ev')));
	}

	function paths() {
		const known = [...def('dialect/endpoint'), ...def('report/own_path')].map((row) => row[2]).map((path) => (path.endsWith('/models/') ? `${path}ID` : path));
		const requests = page[EIGHT].filter((s) => ['REQUESTS', 'Bodies'].includes(s.title)).flatMap((s) => s.items);
		const said = requests.flatMap((item) => marked([`.It ${item.head}`, ...(item.head.startsWith('Pa') ? [] : item.text)], 'Pa'));
		same(EIGHT, 'the path', known, said);
	}

	// -- the configuration

	function configuration() {
		const rows = def('config/conf_names').map(([macro, scope, name, ...rest]) => ({ macro, scope, name, rest }));
		const inside = (row) => (row.macro === 'CONF_IN' ? row.rest[0] : row.macro === 'CONF_MANY' ? ELEMENTS[row.rest[0]] : undefined);
		const of = (scope) => rows.filter((row) => row.scope === scope);
		const isGroup = (row) => row.macro !== 'CONF';
		const sections = page[FIVE].filter((s) => s.top === false && s.title !== 'Syntax');
		// name -> { text, items } of a list, all places of a name in it taken together; names inside { } of the head are items, too.
		const placesOf = (items) => {
			const places = new Map();
			const add = (name, text, inner) => {
				const place = places.get(name) ?? { text: [], items: [] };
				places.set(name, { text: [...place.text, ...text], items: [...place.items, ...inner] });
			};
			for (const item of items) {
				const [, name, rest] = item.head.match(/^Ic ([a-z_]+)(.*)/) ?? [];
				if (!name)
					continue;
				const inline = [...rest.matchAll(/[{;] ([a-z_]+) (?:No )?[=:]/g)].map(([, inner]) => ({ head: `Ic ${inner} No =`, text: item.text, items: [], inline: true }));
				add(name, item.text, [...inline, ...item.items]);
			}
			return places;
		};
		// May members stand elsewhere? In the item's own text, or in a section that it refers to.
		const elsewhere = (name, place) => [...marked(place.text, 'Ic'), ...marked(place.text, 'Sx').join(' ').split(' , ')
			.flatMap((title) => sections.filter((s) => s.title === title || title.startsWith(s.title)).flatMap((s) => everyItem(s.items).map((item) => item.head.split(' ')[1])))];
		const walk = (scope, places, path, borrowed = []) => {
			for (const row of of(scope)) {
				const place = places.get(row.name);
				const full = [...path, row.name].join('.');
				if (!place) {
					if (!borrowed.includes(row.name))
						complain(FIVE, `lacks the setting ${full}`);
					continue;
				}
				if (!isGroup(row)) {
					value(full, row, place);
					continue;
				}
				const scopeInside = inside(row);
				if (scopeInside)
					walk(scopeInside, placesOf(place.items), [...path, row.name], elsewhere(row.name, place));
				else if (place.items.some((item) => item.head.startsWith('Ic ')))
					complain(FIVE, `has settings inside ${full}, which has none`);
			}
			for (const name of places.keys())
				if (!of(scope).some((row) => row.name === name))
					complain(FIVE, `has the setting ${[...path, name].join('.')}, which the parser does not know`);
		};
		walk('ROOT', placesOf(sections.flatMap((s) => s.items)), []);
		mentions(rows);
	}

	// A single value: its range, its words and its default.
	function value(full, row, place) {
		const [kind, , low, high, preset, text] = row.rest;
		const said = flat(place.text);
		const amount = (n) => (kind === 'TIME' ? Number(n) / 1000 : Number(n));
		const [, from, to] = said.match(/(?:^|[\s,;])(\d[\d.]*) to (\d+)\b/) ?? [];
		if (['COUNT', 'BYTES', 'TIME', 'AUTO'].includes(kind) && (Number(from) !== amount(low) || Number(to) !== amount(high)))
			complain(FIVE, `${full} is ${amount(low)} to ${amount(high)}, and the page says ${from ? `${from} to ${to}` : 'no range'}`);
		const list = kind === 'WORD' ? text.split('|') : [];
		const named = marked(place.text.slice(0, place.text.findIndex((line) => line.startsWith('Default:'))), 'Cm');
		for (const word of list)
			if (!named.includes(word))
				complain(FIVE, `${full} lacks its word ${word}`);
		if (kind === 'WORD')
			for (const word of marked(place.text, 'Cm'))
				if (!list.includes(word) && !DIALECTS.includes(word))
					complain(FIVE, `${full} has the word ${word}, which the parser does not know`);
		const [, shown] = said.match(/Default: (.*?)(?=[.,;](?:\s|$)|$)/) ?? [];
		const wanted = kind === 'WORD' ? list[WORD_PRESETS[preset] ?? Number(preset)]
			: ['FLAG', 'NOT'].includes(kind) ? String(preset === '1')
			: kind === 'AUTO' ? '"auto"'
			: ['COUNT', 'BYTES', 'TIME'].includes(kind) ? String(amount(preset))
			: text;
		if (/\bRequired\b|must be there/.test(said))
			return;
		if (shown === undefined)
			complain(FIVE, `${full} has no default`);
		else if (wanted !== '' && !COMPUTED.includes(full) && shown !== wanted && shown.split(' ')[0] !== wanted)
			complain(FIVE, `${full} is ${wanted} by default, and the page says ${shown}`);
	}

	// Every name of a setting in the prose of every page, also as limits.memory.
	function mentions(rows) {
		const known = new Set(rows.map((row) => row.name));
		for (const name of PAGES)
			for (const word of marked(allLines(name).filter((line) => !line.startsWith('.It ')), 'Ic'))
				for (const part of /^[a-z_.]+$/.test(word) ? word.split('.').filter(Boolean) : [])
					if (!known.has(part))
						complain(name, `names the setting ${word}, which the parser does not know`);
	}

	// -- what it tells

	// The labels that the code writes for each LABEL_ of a series.
	function labelsOf(text) {
		const parts = text.split(/\bif \(has & LABEL_/).slice(1).map((part) => part.split(/^\}/m)[0]);
		const written = (part) => [...part.matchAll(/\blabel(?:_word)?\(w, STR\("(\w+)"\)|\b(label_status)\(/g)].map(([, name]) => name ?? 'status');
		return { ...GAUGE_LABELS, ...Object.fromEntries(parts.map((part) => [part.match(/\w+/)[0], written(part)])) };
	}

	function metrics() {
		const text = read('src/report/metrics.c');
		const labels = labelsOf(text);
		const real = def('report/metric').map(([, , name, , has]) => {
			const flags = has === '0' ? [] : has.split('|').map((s) => s.trim().replace('LABEL_', ''));
			return { name, labels: flags.flatMap((flag) => labels[flag] ?? [`(that LABEL_${flag} stands for)`]) };
		});
		const items = section(EIGHT, 'METRICS').items.filter((item) => item.head.startsWith('Cm '));
		const first = items.findIndex((item) => item.head === 'Cm path');
		const said = items.slice(0, first).map((item) => ({ name: item.head.split(' ')[1], labels: item.head.replace(/^Cm \S+( Brq)?/, '').split(',').map((w) => w.trim()).filter(Boolean) }));
		same(EIGHT, 'the metric', real.map((m) => m.name), said.map((m) => m.name));
		for (const metric of real)
			same(EIGHT, `of ${metric.name} the label`, metric.labels, said.find((m) => m.name === metric.name)?.labels ?? metric.labels);
		for (const name of PAGES)
			for (const word of marked(allLines(name), 'Cm').filter((w) => /_(total|seconds)$/.test(w)))
				if (!real.some((m) => m.name === word))
					complain(name, `names the metric ${word}, which is none`);
		const kinds = items.slice(first).find((item) => item.head === 'Cm kind');
		same(EIGHT, 'the kind of failure', [...def('report/upstream_end').map((row) => row[3]), 'status'], marked(kinds?.text ?? [], 'Cm'));
		const array = (name) => [...(text.match(new RegExp(`\\b${name}\\[\\] = \\{([^]*?)\\};`))?.[1] ?? '').matchAll(/STR_INIT\("(\w+)"\)/g)].map(([, w]) => w);
		for (const [metric, name] of [['tokens_total', 'token_kinds'], ['worker_exits_total', 'exits'], ['reloads_total', 'results'], ['workers', 'states']])
			same(EIGHT, `of ${metric} the word`, array(name), marked(items.find((item) => item.head.split(' ')[1] === metric)?.text ?? [], 'Cm').filter((w) => w !== 'side' && w !== 'state'));
	}

	function logs() {
		const { lines, items } = section(EIGHT, 'LOGS');
		const head = (item) => marked([`.It ${item.head}`], 'Cm');
		const fields = [...read('src/report/access.c').matchAll(/(?:json_\w+|\bput)\(l, (?:KEY\("|STR\("\{\\")(\w+)/g)].map(([, name]) => name);
		const closes = items.findIndex((item) => item.head === 'Cm done');
		const access = items.findIndex((item) => item.head === 'Cm client');
		same(EIGHT, 'the reason', def('report/close_reason').map((row) => row[2]), items.slice(closes, access).flatMap(head));
		const listed = items.slice(access).flatMap(head);
		same(EIGHT, 'the field of the access log', fields, [...listed, ...marked(lines, 'Cm').filter((w) => ['time', 'client_ip', 'method', 'path', 'status'].includes(w))]);
		const end = items.find((item) => item.head === 'Cm end');
		same(EIGHT, 'the end', def('report/access_end').map((row) => row[2]), marked(end?.text ?? [], 'Cm'));
		const levels = [...read('src/base/log.c').matchAll(/\[LEVEL_\w+\] = \{ "(\w+)"/g)].map(([, w]) => w);
		const intro = lines.slice(0, lines.findIndex((line) => line === '.Pp'));
		same(EIGHT, 'the level', levels, marked(intro, 'Cm').filter((w) => !['time', 'level', 'process', 'pid', 'message'].includes(w)));
	}

	// A message under DIAGNOSTICS has capitals where a string of the source has a conversion. It fits one that is all of it but for those,
	// or each of its pieces stands in some string.
	function messages() {
		const all = [...new Set(strings(code))].map((s) => s.replace(/%[-.*\d]*(?:ll|z|l)?[a-z]/g, '\0'));
		const patterns = all.filter((s) => s.replace(/[^a-z]/gi, '').length >= 9)
			.map((s) => new RegExp(s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\0/g, '.+')));
		for (const item of everyItem(section(EIGHT, 'DIAGNOSTICS').items)) {
			const message = words(item.head).join(' ').replace(/;? ?\.\.\.$/, '');
			if (patterns.some((pattern) => pattern.test(message)))
				continue;
			const pieces = message.replace(/\d+( \([A-Z][a-z ]+\))?/g, '0').split(/\b[A-Z]+\b|[^a-zA-Z_. -]+/).map((p) => p.trim()).filter((p) => p.length > 3);
			for (const piece of pieces.filter((p) => !all.some((s) => s.includes(p))))
				complain(EIGHT, `has the message "${message}", and no string of the source says "${piece}"`);
		}
	}

	function references() {
		const titles = PAGES.flatMap((name) => page[name].map((s) => s.title));
		for (const name of PAGES) {
			for (const line of allLines(name)) {
				const [, title] = line.match(/^\.Sx (.*?)(?: [.,;:)])?$/) ?? [];
				if (title && !titles.includes(title))
					complain(name, `refers to the section ${title}, which is none`);
				const [, other, number] = line.match(/\bXr (api-router\S*) (\d)/) ?? [];
				if (other && !PAGES.includes(`${other}.${number}`))
					complain(name, `refers to ${other}(${number}), which is none`);
			}
			for (const other of PAGES.filter((p) => p !== name))
				if (!section(name, 'SEE ALSO').lines.some((line) => line.includes(`Xr ${other.replace(/\.(\d)$/, ' $1')}`)))
					complain(name, `does not name ${other} under SEE ALSO`);
		}
	}

	const DIALECTS = def('config/conf_names').find(([, scope, name]) => scope === 'PROVIDER' && name === 'dialect')[8].split('|');
	[options, signals, statuses, environment, paths, configuration, metrics, logs, messages, references].forEach((part) => part());
	return complaints;
}

// Defaults that the parser works out from something else, so that the table cannot have them.
const COMPUTED = ['user', 'listen.admin', 'providers.credential'];
// Of words, which of them: the table names it by its enum.
const WORD_PRESETS = { RELOAD_SIGNAL: 0, LEVEL_INFO: 2, FORMAT_TEXT: 0, DIALECT_OPENAI: 0, CREDENTIAL_NONE: 0, STYLE_AUTO: 0 };

// The C files below src, and the tables, by their names.
export const sourceFiles = (root) => ['src', 'include'].flatMap((dir) => readdirSync(join(root, dir), { recursive: true })
	.filter((name) => /\.(c|def)$/.test(name)).map((name) => `${dir}/${name}`)).sort();

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const root = process.argv[2] ?? fileURLToPath(new URL('../..', import.meta.url));
	const complaints = check((name) => readFileSync(join(root, name), 'utf8'), sourceFiles(root));
	complaints.forEach((text) => console.log(text));
	process.exitCode = complaints.length > 0 ? 1 : 0;
}
