// random-answers: answers that no one thought of, and what a client must have of them in the end. What they hold and
// how it is spelled comes from a seeded generator; how providers tell them, tidily or not, is in untidy.mjs.
//
// An answer: { parts, stop, usage }: see dialects.mjs; args is JSON text, '' where a call has none.

import { createHash } from 'node:crypto';

// Numbers from a seed, which is any text: the same text, the same numbers.
export class Random {
	#state;

	constructor(seed) {
		const digest = createHash('sha256').update(seed).digest();
		this.#state = [0, 4, 8, 12].map((at) => digest.readUInt32LE(at));
	}
	// 32 bits (sfc32).
	#next() {
		const s = this.#state;
		const t = (s[0] + s[1] + s[3]) | 0;
		s[3] = (s[3] + 1) | 0;
		s[0] = s[1] ^ (s[1] >>> 9);
		s[1] = (s[2] + (s[2] << 3)) | 0;
		s[2] = ((s[2] << 21) | (s[2] >>> 11)) + t | 0;
		return t >>> 0;
	}
	below(n) {
		return this.#next() % n;
	}
	between(low, high) {
		return low + this.below(high - low + 1);
	}
	chance(percent) {
		return this.below(100) < percent;
	}
	pick(list) {
		return list[this.below(list.length)];
	}
	some(most, make) {
		return Array.from({ length: this.below(most + 1) }, make);
	}
	shuffled(list) {
		const all = [...list];
		for (let i = all.length - 1; i > 0; i--) {
			const k = this.below(i + 1);
			[all[i], all[k]] = [all[k], all[i]];
		}
		return all;
	}
}

// ---- text

const SNIPPETS = [
	'a', 'word', ' ', '  ', 'the quick brown fox', '\n', '\n\n', '\r\n', '\t', '"', '\\', '\\\\', '\\n', '\\u00e9', '/', '<>&',
	'é', 'ß', '漢字', '\u2028', '\u2029', '\u0000', '\u001f', '\u007f', '😀', '👩‍👩‍👧', '\ud83d', '\ude00', '\ufeff', '\uffff',
	'{"a":', '}', '[1,2]', 'data: x', 'data: [DONE]', '[DONE]', 'event: ping', ': comment', '</tool_call>', 'null', '%s', "'",
];
function text(r) {
	let made = Array.from({ length: r.between(1, 6) }, () => r.pick(SNIPPETS)).join('');
	if (r.chance(2))
		made += r.pick(SNIPPETS.filter((s) => s.length > 1)).repeat(3000).slice(0, 10240);
	return made;
}
// The inside of whose texts may not be blank: what a model says of nothing is left out of a whole reply, and cannot be
// of a stream.
const spoken = (r) => `${r.pick(['Hm', 'I', 'Ü', '😀', '"'])}${text(r)}`;

// A JSON string of that text, with escapes where there might be some: `some` of a hundred letters.
export function literal(r, value, some) {
	if (some === 0)
		return JSON.stringify(value);
	let made = '"';
	for (const c of value) {
		const usual = JSON.stringify(c).slice(1, -1);
		if (c === '/' && r.chance(some))
			made += '\\/';
		else if (r.chance(some))
			made += c.split('').map((unit) => {
				const digits = unit.charCodeAt(0).toString(16).padStart(4, '0');
				return `\\u${r.chance(50) ? digits : digits.toUpperCase()}`;
			}).join('');
		else
			made += usual;
	}
	return `${made}"`;
}

const NUMBERS = ['0', '-0', '7', '1.0', '0.10', '1e3', '1E-7', '-1.5e+300', '9007199254740993', '1234567890123456789', '18446744073709551616', '1e400'];
const KEYS = ['city', 'a', '', 'ключ', 'a b', 'x"y', 'back\\slash', '😀', 'id', 'constructor'];
function json(r, depth, space, some) {
	const kind = depth > 0 ? r.below(9) : r.below(6);
	if (kind < 2)
		return literal(r, text(r), some);
	if (kind === 2)
		return r.pick(NUMBERS);
	if (kind === 3)
		return r.pick(['true', 'false', 'null']);
	if (kind === 4)
		return r.pick(['{}', '[]', '""', `[${space}]`]);
	if (kind === 5)
		return `"${'y'.repeat(r.below(40))}"`;
	if (kind === 6)
		return `[${r.some(3, () => json(r, depth - 1, space, some)).join(`,${space}`)}]`;
	return object(r, depth, space, some);
}
function object(r, depth, space, some) {
	const members = r.shuffled(KEYS).slice(0, r.below(4))
		.map((key) => `${literal(r, key, some)}${space}:${space}${json(r, depth - 1, space, some)}`);
	return `{${space}${members.join(`${space},${space}`)}${space}}`;
}
function args(r) {
	if (r.chance(12))
		return '';
	if (r.chance(10))
		return r.pick(['{}', '{ }', '{"a":{}}', '{"n":9007199254740993}', '{"s":"}"}', '{"s":"\\""}', '{"s":"\\\\"}']);
	const all = object(r, 3, r.pick(['', '', ' ', '\n\t']), r.pick([0, 5, 50]));
	if (r.chance(5))
		return ` ${all}\n`;
	return r.chance(3) ? `{"long":"${'0123456789'.repeat(1024)}","rest":${all}}` : all;
}

// ---- answers

const NAMES = ['weather', 'now', 'f', 'get_the_list', 'a-b_C9', 'a.b:c', 'with space', 'имя', 'n'.repeat(70), '9lives', 'quo"te'];
const LEGAL = ['call_01', 'toolu_01AbC', 'a', 'x'.repeat(60), 'A-b_9', '0', 'functions_7'];
const ILLEGAL = ['functions.weather:0', 'a b', 'é1', 'call|fc_1', 'quo"te', '😀', 'y:'.repeat(40), 'back\\slash', 'tab\t'];

function calls(r) {
	const ids = r.shuffled(r.chance(70) ? LEGAL : [...LEGAL, ...ILLEGAL]);
	const names = r.shuffled(NAMES);
	const without = r.chance(10);
	return Array.from({ length: r.pick([0, 0, 1, 1, 1, 2, 2, 3]) }, (_, i) => ({
		call: { id: without ? '' : ids[i], name: r.chance(30) ? names[0] : names[i], args: args(r) },
	}));
}

export function randomAnswer(r) {
	if (r.chance(3))
		return { parts: [], stop: r.pick(['end', 'length']), usage: usage(r) };
	const parts = [
		...Array.from({ length: r.pick([0, 0, 1, 1, 2]) }, () => ({ reasoning: spoken(r) })),
		...Array.from({ length: r.pick([0, 1, 1, 1, 2]) }, () => ({ text: text(r) })),
		...(r.chance(5) ? [{ refusal: spoken(r) }] : []),
		...calls(r),
	];
	const called = parts.some((p) => p.call);
	return {
		parts: r.chance(30) ? r.shuffled(parts) : parts,
		stop: r.chance(15) ? r.pick(['length', 'filter']) : called ? 'calls' : 'end', usage: usage(r),
	};
}
function usage(r) {
	if (r.chance(15))
		return null;
	const input = r.below(5000), output = r.below(2000);
	return { input, output, cached: r.chance(50) ? 0 : r.below(input + 1), reasoning: r.chance(50) ? 0 : r.below(output + 1) };
}

// ---- what a client must have

// How an id that is none here is written: see chat_call_id.
function legalId(id) {
	if (/^[A-Za-z0-9_-]+$/.test(id))
		return id;
	const escaped = Buffer.from(JSON.stringify(id).slice(1, -1));
	const kept = [...escaped.subarray(0, 31)].map((b) => String.fromCharCode(b)).join('').replace(/[^A-Za-z0-9_-]/g, '_');
	return `${kept}_${createHash('sha256').update(escaped).digest('hex').slice(0, 8)}`;
}
export const madeUp = (client) => (client === 'messages' ? /^toolu_[A-Za-z0-9]{24}$/ : /^call_[A-Za-z0-9]{24}$/);

const STOPS = {
	chat: { end: 'stop', calls: 'tool_calls', length: 'length', filter: 'content_filter' },
	messages: { end: 'end_turn', calls: 'tool_use', length: 'max_tokens', filter: 'refusal', sequence: 'stop_sequence' },
};

// What is left at the client of an answer as a provider told it (see untidy.mjs: `told`, and `explanation` of a
// refusal): { text, reasoning, refusal, calls: [{ id, name, args }], stop, usage }; the id null: it is made up.
export function expected(client, told) {
	const { answer } = told;
	const all = (kind) => answer.parts.map((p) => p[kind] ?? '').join('');
	const called = client === 'completions' ? [] : answer.parts.filter((p) => p.call && p.call.name).map((p) => p.call);
	const refused = answer.stop === 'filter' || answer.parts.some((p) => p.refusal);
	const hidden = client === 'completions';
	// a stop sequence is the provider's word for an end that only Anthropic's clients know
	const end = told.sequence && client === 'messages' ? 'sequence' : 'end';
	const stop = refused ? 'filter' : answer.stop === 'length' ? 'length' : called.length > 0 ? 'calls' : end;
	const spelled = (p) => (client === 'messages' ? p.text ?? p.refusal ?? '' : p.text ?? '');
	return {
		text: answer.parts.map(spelled).join(''),
		reasoning: hidden ? '' : all('reasoning'),
		refusal: client === 'chat' ? all('refusal') + (told.explanation ?? '') : '',
		calls: called.map((c) => ({ id: c.id === '' ? null : legalId(c.id), name: c.name, args: c.args || '{}' })),
		stop: STOPS[client === 'messages' ? 'messages' : 'chat'][stop],
		usage: { input: answer.usage?.input ?? 0, output: answer.usage?.output ?? 0 },
	};
}
