// matrix: every client protocol at every provider, whole and streamed: what the provider got and what the SDK gave back.
// The table at the end has a cell for each: pass, or a number that says which rule makes it impossible to say.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { PROVIDERS, dialects, provide, providersAt, script, textOf } from '../lib/dialects.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { message } from '../lib/wire.mjs';
import { PROTOCOLS, results, says, talk } from './talk.mjs';
import { failure } from './sdk.mjs';

const MODES = ['plain', 'stream'];
const OWN = { chat: 'openai', completions: 'openai', messages: 'anthropic' }; // the dialect that passes through
const STOPS = {
	chat: { end: 'stop', calls: 'tool_calls' }, completions: { end: 'stop' }, messages: { end: 'end_turn', calls: 'tool_use' },
};
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const USAGE = { input: 20, cached: 5, output: 9, reasoning: 4 };
// What providers tell of usage beside the sums.
const KNOWN = { openai: ['cached', 'reasoning'], anthropic: ['cached', 'reasoning'], gemini: ['cached', 'reasoning'], cohere: ['cached'], ollama: [] };

const WEATHER = {
	name: 'weather', description: 'Weather now',
	schema: { type: 'object', properties: { city: { type: 'string' }, id: { type: 'integer' } }, required: ['city'] },
};
const TIME = { name: 'now', description: 'The time', schema: { type: 'object', properties: { tz: { type: 'string' } } } };
const SCHEMA = {
	type: 'object', properties: { city: { type: 'string' }, c: { type: 'number' } }, required: ['city', 'c'], additionalProperties: false,
};
const ODD = 'How is Oslo? "☃" \\ 😀 </b>\n\t\u2028é';
const call = (id, name, args) => ({ call: { id, name, args } });

// How each provider is asked to think, by the client that asks for a medium effort.
const THINKING = {
	openai: 'medium',
	anthropic: undefined, // see below: it goes by the model
	gemini: { thinkingLevel: 'MEDIUM', includeThoughts: true },
	cohere: { type: 'enabled', token_budget: 4096 },
	ollama: true,
};

// ---- rows. ask: the request; answer: the provider's; got(said): of what the provider was asked, beside the conversation.

const ROWS = {
	text: {
		ask: { system: ['Be brief.'], turns: [says('Hi'), { role: 'assistant', parts: [{ text: 'Hello.' }] }, says(ODD)],
			most: 100, stop: ['END'], temperature: 0.5 },
		answer: { parts: [{ text: `Cold. ${ODD}` }] },
		got: (said) => assert.deepEqual([said.most, said.stop, Number(textOf(said.temperature))], [100, ['END'], 0.5]),
	},
	tools: {
		ask: { turns: [says('Weather in Oslo?')], tools: [WEATHER, TIME] },
		answer: { parts: [{ text: 'Let me look.' }, call('call_01', 'weather', '{"city": "Oslo", "id": 9007199254740993, "n": [1.0, -0, 1e400]}')] },
		got: (said) => assert.deepEqual(said.tools, [WEATHER, TIME]),
	},
	'parallel tools': {
		ask: {
			turns: [says('And Lima?'),
				{ role: 'assistant', parts: [call('call_1', 'weather', '{"city":"Oslo"}'), call('call_2', 'now', '{"tz":"UTC"}')] },
				results({ id: 'call_1', text: '-3 C' }, { id: 'call_2', text: 'noon' })],
			tools: [WEATHER, TIME],
		},
		answer: { parts: [call('call_3', 'weather', '{"city":"Lima"}'), call('call_4', 'now', '{}'), call('call_5', 'weather', '{"city":"\\u00e5 \\"\\ud83d"}')] },
	},
	image: {
		ask: { turns: [{ role: 'user', parts: [{ text: 'What is this?' }, { image: `data:image/png;base64,${PNG}` }] }] },
		answer: { parts: [{ text: 'A pixel.' }] },
	},
	'image by address': {
		ask: { turns: [{ role: 'user', parts: [{ text: 'What is this?' }, { image: 'https://example.org/a.png?x=1' }] }] },
		answer: { parts: [{ text: 'A pixel.' }] },
	},
	'structured output': {
		ask: { turns: [says('Weather in Oslo?')], schema: SCHEMA },
		answer: { parts: [{ text: '{"city": "Oslo", "c": -3.0}' }] },
		got: (said) => assert.deepEqual(said.schema, SCHEMA),
	},
	reasoning: {
		ask: { turns: [says('Weather in Oslo?')], effort: 'medium', most: 8000 },
		answer: { parts: [{ reasoning: 'Oslo is in the north.' }, { text: 'Cold.' }] },
		got: (said, protocol) => {
			if (said.dialect === 'anthropic')
				assert.ok(protocol === 'completions' || said.reasoning, 'it is asked to think');
			else
				assert.deepEqual(said.reasoning, protocol === 'completions' ? undefined : THINKING[said.dialect]);
		},
	},
	'error before': { error: errorBefore, ask: { turns: [says('Hi')] } },
	'error mid-stream': { error: errorBehind, ask: { turns: [says('Hi')] } },
};

// ---- what cannot be said

const RULES = [
	'a legacy completion is a prompt and a text: no tools, no images, no response format',
	'a legacy completion has no reasoning (elsewhere it is left out of the answer)',
	'Ollama takes the bytes of images, and the router fetches none: a 400 that says so',
];
function impossible(protocol, row, provider) {
	if (protocol !== 'completions')
		return row === 'image by address' && provider === 'ollama' ? 2 : -1;
	if (['tools', 'parallel tools', 'image', 'image by address', 'structured output'].includes(row))
		return 0;
	return row === 'reasoning' && provider === OWN[protocol] ? 1 : -1;
}

// ---- cells

function expectedUsage(protocol, provider) {
	const { input, output, cached, reasoning } = USAGE, known = KNOWN[provider];
	if (protocol === 'messages')
		return { input, output, cached: known.includes('cached') ? cached : 0 };
	return { input, output, cached: known.includes('cached') ? cached : undefined, reasoning: known.includes('reasoning') ? reasoning : undefined };
}

// What the provider must have got: the same conversation; a legacy completion has one prompt.
const expectedScript = (protocol, ask) =>
	script(protocol === 'completions' ? { system: [], turns: [ask.turns.at(-1)] } : { system: [], ...ask });

async function talkIn({ talker, protocol, provider, stream, seen, answers }, { ask, answer, got: check }) {
	answers.now = { ...answer, usage: USAGE };
	const got = await talker.ask(provider, ask, { stream });
	const said = seen.at(-1);
	assert.deepEqual([said.dialect, said.model, said.stream], [provider, provider, stream], 'who was asked');
	assert.deepEqual(script(said), expectedScript(protocol, ask), 'the conversation that the provider got');
	check?.(said, protocol);
	const text = (kind) => answer.parts.map((p) => p[kind] ?? '').join('');
	const calls = answer.parts.filter((p) => p.call).map((p) => p.call);
	assert.equal(got.text, text('text'), 'the text');
	assert.equal(got.reasoning, protocol === 'completions' ? '' : text('reasoning'), 'the reasoning');
	assert.deepEqual(got.calls.map((c) => [c.name, c.args]), calls.map((c) => [c.name, c.args]), 'the calls, byte for byte');
	if (provider === 'ollama') // which gives calls no ids
		assert.equal(new Set(got.calls.map((c) => c.id).filter((id) => /^[\w-]{5,40}$/.test(id))).size, calls.length, 'ids of its own');
	else
		assert.deepEqual(got.calls.map((c) => c.id), calls.map((c) => c.id), 'ids');
	assert.equal(got.stop, STOPS[protocol][calls.length > 0 ? 'calls' : 'end'], 'why it stopped');
	assert.deepEqual(got.usage, expectedUsage(protocol, provider), 'usage');
	assert.equal(got.model, provider, 'the model');
}

// A refusal with a status, of each class.
const ERRORS = [[400, 'BadRequestError'], [404, 'NotFoundError'], [429, 'RateLimitError'], [500, 'InternalServerError'], [503, 'InternalServerError']];
const OF_MESSAGES = { 400: 'invalid_request_error', 404: 'not_found_error', 429: 'rate_limit_error', 500: 'api_error', 503: 'overloaded_error' };
// What a failure of the provider itself becomes where it is translated.
const STATUS = { chat: { 500: 502 }, completions: { 500: 502 }, messages: { 500: 502, 503: 529 } };

async function errorBefore({ talker, protocol, provider, stream, answers }, { ask }) {
	const own = OWN[protocol] === provider;
	for (const [status, name] of ERRORS) {
		answers.now = { error: { status, message: `it said ${status}`, headers: { 'retry-after': '7' } } };
		const error = await failure(talker.ask(provider, ask, { stream }));
		assert.ok(error instanceof talker.SDK[name], `${status}: ${name}, not ${error.constructor.name}: ${error.message}`);
		assert.equal(error.status, own ? status : STATUS[protocol][status] ?? status);
		assert.match(error.message, new RegExp(`it said ${status}`));
		if (protocol === 'messages' && !own)
			assert.equal(error.error.error.type, OF_MESSAGES[status]);
	}
	answers.now = { error: { status: 401, message: 'no such key' } };
	const error = await failure(talker.ask(provider, ask, { stream }));
	assert.ok(error instanceof talker.SDK.InternalServerError && error.status === 502, `401: ${error.status}`);
	assert.ok(!error.message.includes('no such key'), 'the key is the administrator\'s');
}

// A stream that fails behind its beginning, in the provider's words or by being cut; a whole reply can only be cut.
async function errorBehind({ talker, protocol, provider, stream, answers }, { ask }) {
	const answer = { parts: [{ text: 'one two three four five six' }], usage: USAGE };
	for (const breaks of stream ? ['error', 'cut'] : ['cut']) {
		const got = {};
		const begun = () => until(() => got.text, 'the client has the beginning');
		answers.now = stream ? { ...answer, breaks, begun } : { cutReply: answer };
		const error = await failure(talker.ask(provider, ask, { stream, got }));
		if (!stream) {
			assert.equal(error.status, OWN[protocol] === provider ? undefined : 502, error.message);
			continue;
		}
		assert.ok(error.got.text.length > 0 && answer.parts[0].text.startsWith(error.got.text), `what had come: ${error.got.text}`);
		assert.equal(error.got.stop, undefined, 'it did not stop');
		assert.equal(error.got.usage, undefined);
		if (breaks === 'error') {
			assert.ok(error instanceof talker.SDK.APIError, `${error.constructor.name}: ${error.message}`);
			assert.match(`${error.message} ${JSON.stringify(error.error ?? '')}`, /broken inside/);
		}
	}
}

// A whole reply whose end never comes.
function replyOf(now, said, conn) {
	if (!now.cutReply)
		return now;
	const body = dialects[said.dialect].reply(now.cutReply, said.model, said.kind !== 'chat');
	conn.send(message('HTTP/1.1 200 OK', { 'Content-Type': 'application/json', 'Content-Length': body.length + 10 }, body)).then(() => conn.cut());
	return undefined;
}

// ---- the tests and the table

const table = {}; // protocol/row/provider/mode -> [ 'pass' | rule number | 'FAILED' by SDK ]
const put = (key, result) => (table[key] ??= []).push(result);

for (const [protocol, versions] of Object.entries(PROTOCOLS))
	for (const [sdk, SDK] of versions)
		scenario(`${protocol} with ${sdk} at every provider`, async (s) => {
			const peer = await s.peer();
			const thinks = { model_options: [{ model: '*', reasoning: 'effort' }] }; // an unknown name does not say so
			const daemon = await s.daemon({ providers: providersAt(peer, { openai: thinks }) });
			const seen = [], answers = {}, failed = [];
			provide(peer, (said, n, conn) => replyOf(answers.now, said, conn), { cut: (text) => text.match(/[\s\S]{1,5}/gu) ?? [], seen });
			const talker = talk(protocol, SDK, daemon);
			for (const [name, row] of Object.entries(ROWS))
				for (const provider of PROVIDERS)
					for (const mode of MODES) {
						const key = [protocol, name, provider, mode].join('/'), rule = impossible(protocol, name, provider);
						try {
							if (rule >= 0) {
								if (rule === 2)
									assert.equal((await failure(talker.ask(provider, row.ask, { stream: mode === 'stream' }))).status, 400);
								put(key, rule);
								continue;
							}
							await (row.error ?? talkIn)({ talker, protocol, provider, stream: mode === 'stream', seen, answers }, row);
							put(key, 'pass');
						} catch (error) {
							put(key, 'FAILED');
							failed.push(`${key}: ${error.message}`);
						}
					}
			assert.equal(failed.length, 0, `\n${failed.join('\n\n')}`);
		});

after(() => {
	const line = (...cells) => console.log(`| ${cells.join(' ')}`.trimEnd());
	line(' '.repeat(29), ...PROVIDERS.map((p) => p.padEnd(13)));
	line(' '.repeat(29), ...PROVIDERS.flatMap(() => MODES.map((m) => m.padEnd(6))));
	for (const protocol of Object.keys(PROTOCOLS))
		for (const name of Object.keys(ROWS))
			line(protocol.padEnd(11), name.padEnd(17), ...PROVIDERS.flatMap((provider) => MODES.map((mode) => {
				const all = table[[protocol, name, provider, mode].join('/')] ?? ['?'];
				return String(all.every((r) => r === all[0]) ? typeof all[0] === 'number' ? `(${all[0] + 1})` : all[0] : 'FAILED').padEnd(6);
			})));
	RULES.forEach((rule, i) => line(`(${i + 1}) not expressible: ${rule}`));
});

// Embeddings, of the one protocol that has them: the SDK asks for base64 by itself, and reads it into numbers.
for (const [sdk, OpenAI] of PROTOCOLS.chat)
	scenario(`embeddings with ${sdk} at every provider`, async (s) => {
		const peer = await s.peer(), seen = [];
		const daemon = await s.daemon({ providers: providersAt(peer) });
		provide(peer, () => ({ vectors: ['[0.25,-1.5,3e-2]', '[1,2.0,-0.125]'] }), { seen });
		const ai = new OpenAI({ baseURL: `${daemon.url}/v1`, apiKey: 'sk-client', maxRetries: 0 });
		for (const provider of ['gemini', 'cohere', 'ollama'])
			for (const more of [{}, { encoding_format: 'float' }, { dimensions: 3 }]) {
				const done = await ai.embeddings.create({ model: provider, input: ['one', 'two ☃'], ...more });
				const near = (numbers) => numbers.map((n) => Math.round(n * 1e6) / 1e6);
				assert.deepEqual(done.data.map((d) => [d.index, near([...d.embedding])]), [[0, [0.25, -1.5, 0.03]], [1, [1, 2, -0.125]]], provider);
				assert.equal(done.usage.prompt_tokens, provider === 'gemini' ? 0 : 2);
				assert.deepEqual(seen.at(-1).texts, ['one', 'two ☃']);
				const { body } = seen.at(-1);
				assert.equal(body.dimensions ?? body.output_dimension ?? body.requests?.[0].outputDimensionality, more.dimensions);
			}
		const before = seen.length;
		const error = await failure(ai.embeddings.create({ model: 'anthropic', input: 'one' }));
		assert.ok([400, 404].includes(error.status), `${error}`);
		assert.equal(seen.length, before, 'Anthropic has none, and is not asked');
	});
