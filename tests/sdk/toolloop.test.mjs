// toolloop: an agent's loop of five turns by each SDK, its turns answered by two providers by turns, for every pair of
// them: ids, arguments byte for byte, results and signatures are still there when the history comes back.

import assert from 'node:assert/strict';
import { PROVIDERS, provide, providersAt } from '../lib/dialects.mjs';
import { scenario } from '../lib/scenario.mjs';
import { PROTOCOLS, results, says, talk } from './talk.mjs';

// Arguments of each turn's calls: what a reader that takes numbers for doubles, or decodes strings, would change.
const ARGS = [
	['{"id":9007199254740993,"x":1.0}'],
	['{"s":"\\u0000\\u001f\\"\\\\\\/\\u00e5"}', '{"n":[-0,18446744073709551616,1e400,1E+2]}'],
	['{ "a" : { "b" : [ ] } , "half":"\\ud83d" }'],
	['{"emoji":"😀☃","line":"a\\nb\\u2028"}', '{}', '{"deep":{"a":{"b":{"c":[[[1.50]]]}}}}'],
];
const RESULTS = ['-3 C', '{"c": -3.0, "id": 9007199254740993}', 'line\none "two" \\ ☃'];
const TOOL = { name: 'run', description: 'Runs', schema: { type: 'object', properties: {} } };

// Where a signature crosses: Gemini's in its calls, through a call's extra_content, or a thinking block where thoughts are
// shown at all; Anthropic's in thinking blocks, which OpenAI's clients have in whole replies alone.
const signs = { gemini: 'Z2VtaW5p', anthropic: 'YW50aHJvcGlj' };

// What the provider says in turn n, and which calls it makes.
function answerOf(dialect, n) {
	const signature = signs[dialect] && `${signs[dialect]}${n}`;
	const thought = dialect === 'anthropic' ? [{ reasoning: `thought ${n}`, signature }]
		: ['openai', 'gemini'].includes(dialect) ? [{ reasoning: `idea ${n}` }] : [];
	if (n === ARGS.length)
		return { parts: [...thought, { text: 'Done.' }] };
	// Gemini signs the first call alone.
	return { parts: [...thought, { text: `Turn ${n}.` }, ...ARGS[n].map((args, i) =>
		({ call: { id: `call_${dialect}_${n}_${i}`, name: TOOL.name, args }, signature: dialect === 'gemini' && i === 0 ? signature : undefined }))] };
}

// What must stand in the history of the n-th request, made of what the clients were told.
function check(said, loop, n) {
	const parts = said.turns.flatMap((t) => t.parts);
	const calls = parts.filter((p) => p.call), got = parts.filter((p) => p.result).map((p) => p.result);
	const made = loop.flatMap((turn) => turn.calls);
	assert.deepEqual(calls.map((p) => [p.call.name, p.call.args]), made.map((c) => [TOOL.name, c.args]), `arguments in turn ${n}`);
	assert.deepEqual(got.map((r) => r.text), made.map((c) => c.result), `results in turn ${n}`);
	if (said.dialect === 'ollama') // which has no ids
		return;
	assert.deepEqual(calls.map((p) => p.call.id), made.map((c) => c.id), `ids in turn ${n}`);
	assert.deepEqual(got.map((r) => r.id), made.map((c) => c.id), `ids of results in turn ${n}`);
}
function checkSignatures(said, loop, keeps, n) {
	const parts = said.turns.flatMap((t) => t.parts);
	if (said.dialect === 'gemini')
		assert.deepEqual(parts.filter((p) => p.call).map((p) => p.signature),
			loop.flatMap((turn, k) => turn.calls.map((_, i) => (turn.provider === 'gemini' && i === 0 ? `${signs.gemini}${k}` : undefined))),
			`thought signatures in turn ${n}`);
	if (said.dialect === 'anthropic')
		assert.deepEqual(parts.filter((p) => p.signature?.startsWith(signs.anthropic)).map((p) => [p.reasoning, p.signature]),
			keeps ? loop.flatMap((turn, k) => (turn.provider === 'anthropic' ? [[`thought ${k}`, `${signs.anthropic}${k}`]] : [])) : [],
			`signed thoughts in turn ${n}`);
}

async function runLoop({ talker, seen, protocol, stream }, pair) {
	const turns = [says('Go.')], loop = [];
	for (let n = 0; n <= ARGS.length; n++) {
		const provider = pair[n % 2];
		const got = await talker.ask(provider, { turns, tools: [TOOL] }, { stream });
		const said = seen.at(-1);
		assert.equal(said.dialect, provider);
		check(said, loop, n);
		checkSignatures(said, loop, protocol === 'messages' || !stream, n);
		assert.equal(got.text, n === ARGS.length ? 'Done.' : `Turn ${n}.`);
		assert.deepEqual(got.calls.map((c) => c.args), ARGS[n] ?? [], `what the client was told in turn ${n}`);
		if (provider !== 'ollama')
			assert.deepEqual(got.calls.map((c) => c.id), (ARGS[n] ?? []).map((_, i) => `call_${provider}_${n}_${i}`));
		const calls = got.calls.map((c, i) => ({ ...c, result: RESULTS[(n + i) % RESULTS.length] }));
		loop.push({ provider, calls });
		turns.push({ own: got.own }, results(...calls.map((c) => ({ id: c.id, text: c.result }))));
	}
	const ids = loop.flatMap((turn) => turn.calls.map((c) => c.id));
	assert.equal(new Set(ids).size, ids.length, 'no id is given twice');
}

for (const protocol of ['chat', 'messages'])
	for (const [sdk, SDK] of PROTOCOLS[protocol])
		for (const mode of ['plain', 'stream'])
			scenario(`${sdk}: five turns between every two providers, ${mode}`, async (s) => {
				const peer = await s.peer();
				const daemon = await s.daemon({ providers: providersAt(peer) });
				const seen = [], failed = [];
				provide(peer, (said) => answerOf(said.dialect, said.turns.filter((t) => t.role === 'assistant').length),
					{ cut: (text) => text.match(/[\s\S]{1,3}/gu) ?? [], seen });
				const at = { talker: talk(protocol, SDK, daemon), seen, protocol, stream: mode === 'stream' };
				for (const one of PROVIDERS)
					for (const other of PROVIDERS)
						await runLoop(at, [one, other]).catch((error) => failed.push(`${one}, ${other}: ${error.message}`));
				assert.equal(failed.length, 0, `\n${failed.join('\n\n')}`);
			});

// Anthropic refuses a request with a thinking block that it has not signed: a conversation that other providers have taken part in
// must reach it without theirs.
for (const protocol of ['chat', 'messages'])
	for (const [sdk, SDK] of PROTOCOLS[protocol])
		scenario(`${sdk}: thoughts of other providers are kept from Anthropic`, async (s) => {
			const peer = await s.peer();
			const daemon = await s.daemon({ providers: providersAt(peer) });
			const seen = [];
			provide(peer, (said) => answerOf(said.dialect, said.turns.filter((t) => t.role === 'assistant').length), { seen });
			const talker = talk(protocol, SDK, daemon);
			for (const other of PROVIDERS.filter((p) => p !== 'anthropic')) {
				const turns = [says('Go.')];
				const { own, calls } = await talker.ask(other, { turns, tools: [TOOL] });
				turns.push({ own }, results(...calls.map((c) => ({ id: c.id, text: 'ok' }))));
				await talker.ask('anthropic', { turns, tools: [TOOL] });
				const thoughts = seen.at(-1).turns.flatMap((t) => t.parts).filter((p) => p.reasoning !== undefined);
				assert.deepEqual(thoughts, [], `of ${other}`);
				assert.equal(seen.at(-1).turns.flatMap((t) => t.parts).filter((p) => p.call).length, 1);
			}
		});

// Names that are longer than a provider takes, and ids with what is illegal there: the provider gets its own, the same in the
// tools, the history and the results, and the client gets its own back.
const LONG = `mcp__server__${'x'.repeat(90)}`, LIMITS = { openai: 64, anthropic: 128, gemini: 64, cohere: 128, ollama: 128 };
const IDS = ['a'.repeat(70), 'functions.run:0', 'call/1 å', 'functions.run:1'];
for (const protocol of ['chat', 'messages'])
	for (const mode of ['plain', 'stream'])
		scenario(`${protocol}, ${mode}: long names and odd ids`, async (s) => {
			const peer = await s.peer();
			const daemon = await s.daemon({ providers: providersAt(peer) });
			const seen = [];
			const name = (said) => said.tools.find((t) => t.description === 'Runs').name;
			provide(peer, (said) => (said.turns.some((t) => t.parts.some((p) => p.result)) ? { parts: [{ text: 'Done.' }] }
				: { parts: IDS.map((id, i) => ({ call: { id, name: name(said), args: `{"n":${i}}` } })) }), { seen });
			const talker = talk(protocol, PROTOCOLS[protocol][0][1], daemon);
			const tools = [{ ...TOOL, name: LONG }, { ...TOOL, name: `${LONG}y`, description: 'Another' }];
			for (const one of PROVIDERS)
				for (const other of PROVIDERS) {
					const turns = [says('Go.')];
					const { own, calls } = await talker.ask(one, { turns, tools }, { stream: mode === 'stream' });
					assert.deepEqual(calls.map((c) => [c.name, c.args]), IDS.map((_, i) => [LONG, `{"n":${i}}`]), `${one}: its own name`);
					assert.equal(new Set(calls.map((c) => c.id)).size, IDS.length, 'each id is another');
					turns.push({ own }, results(...calls.map((c, i) => ({ id: c.id, text: `result ${i}` }))));
					assert.equal((await talker.ask(other, { turns, tools }, { stream: mode === 'stream' })).text, 'Done.');
					const said = seen.at(-1), parts = said.turns.flatMap((t) => t.parts);
					if (protocol === 'chat' ? other === 'openai' : other === 'anthropic') // passed through
						continue;
					const names = said.tools.map((t) => t.name), made = parts.filter((p) => p.call).map((p) => p.call);
					assert.ok(names[0] !== names[1] && names.every((n) => n.length <= LIMITS[other]), `${other}: ${names}`);
					assert.deepEqual(made.map((c) => c.name), IDS.map(() => names[0]));
					const got = parts.filter((p) => p.result).map((p) => p.result);
					assert.deepEqual(got.map((r) => r.text), IDS.map((_, i) => `result ${i}`));
					if (other === 'ollama')
						continue;
					assert.deepEqual(got.map((r) => r.id), made.map((c) => c.id), `${one}, ${other}: results are of their calls`);
					assert.equal(new Set(made.map((c) => c.id)).size, IDS.length);
					if (other === 'openai' || other === 'anthropic')
						assert.ok(made.every((c) => /^[\w-]+$/.test(c.id) && (other !== 'openai' || c.id.length <= 40)), `${other}: ${made.map((c) => c.id)}`);
				}
		});
