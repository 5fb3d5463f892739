// claude-code: requests as Claude Code makes them, at providers that speak something else, and answers as it reads them:
// through its SDK's beta interface, which asks at /v1/messages?beta=true.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { provide, providersAt, script, textOf } from '../lib/dialects.mjs';
import { scenario } from '../lib/scenario.mjs';
import { ANTHROPIC, failure } from './sdk.mjs';

const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const ELSEWHERE = ['openai', 'gemini', 'cohere', 'ollama'];
const KEY = 'sk-ant-client';
const cached = { cache_control: { type: 'ephemeral' } };
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk';
const USER = `user_${'a'.repeat(64)}_account_3b241101-e2bb-4255-8caf-4136c566a962_session_9f1c7a2e-52a0-4e05-8f0b-0a4c8f7b2d11`;

const NAMES = ['Task', 'Bash', 'Glob', 'Grep', 'LS', 'Read', 'Edit', 'MultiEdit', 'Write', 'NotebookEdit', 'WebFetch', 'TodoWrite', 'BashOutput',
	'KillShell', 'SlashCommand', 'ExitPlanMode', 'ListMcpResources', 'ReadMcpResource', 'mcp__ide__getDiagnostics', 'mcp__ide__executeCode'];
const TOOLS = NAMES.map((name, i) => ({
	name, description: `${name}: what it does.\n\nUsage notes:\n- "quoted" \u2028`,
	input_schema: {
		type: 'object', properties: { path: { type: 'string', description: 'The path' }, limit: { type: 'number', exclusiveMinimum: 0 } },
		required: ['path'], additionalProperties: false, $schema: 'http://json-schema.org/draft-07/schema#',
	},
	...(i === NAMES.length - 1 ? cached : {}),
}));

const BODY = {
	max_tokens: 32000,
	system: [
		{ type: 'text', text: 'x-anthropic-billing-header: cc_version=2.1.160; cc_entrypoint=cli' },
		{ type: 'text', text: 'You are Claude Code, Anthropic\'s official CLI for Claude.', ...cached },
		{ type: 'text', text: 'You are an interactive agent.\n\n# Tone\n- Be brief.', cache_control: { type: 'ephemeral', ttl: '1h' } },
	],
	messages: [
		{ role: 'user', content: [{ type: 'text', text: '<system-reminder>\nToday is Monday.\n</system-reminder>' }, { type: 'text', text: 'Look at a.png and run it.' }] },
		{ role: 'assistant', content: [
			{ type: 'thinking', thinking: 'Two tools.', signature: '' },
			{ type: 'text', text: 'I will read it.' },
			{ type: 'tool_use', id: 'toolu_01AbCdEfGhIjKlMnOpQrStUv', name: 'Read', input: { path: '/a.png', limit: 10 } },
			{ type: 'tool_use', id: 'toolu_02', name: 'Bash', input: { path: 'x "y" \\' } },
		] },
		{ role: 'user', content: [
			{ type: 'tool_result', tool_use_id: 'toolu_01AbCdEfGhIjKlMnOpQrStUv', content: [
				{ type: 'text', text: 'a picture:' }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } }] },
			{ type: 'tool_result', tool_use_id: 'toolu_02', content: 'exit 1\n<stderr>no</stderr>', is_error: true },
			{ type: 'text', text: '[Request interrupted by user]' },
			{ type: 'text', text: 'Say what you see.', ...cached },
		] },
		{ role: 'system', content: [{ type: 'text', text: 'The user has opened b.txt.' }] },
		{ role: 'user', content: 'Go on.' },
	],
	tools: [...TOOLS, { type: 'web_search_20250305', name: 'web_search', max_uses: 8 }],
	metadata: { user_id: USER },
	thinking: { type: 'enabled', budget_tokens: 31999 },
	context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
};
const ANSWER = {
	parts: [{ reasoning: 'I see.' }, { text: 'It is a picture. ' }, { call: { id: 'call_9', name: 'Edit', args: '{"path": "/b.txt", "limit": 1.50}' } },
		{ call: { id: 'call_10', name: 'mcp__ide__executeCode', args: '{"path":""}' } }],
	usage: { input: 12000, cached: 9000, output: 80 },
};

// What each provider must have been told, as lines of a script. Texts that stand beside each other are joined where a
// message is one string there; the picture of a result stands behind the results.
const SYSTEM = BODY.system.map((b) => b.text), ASKED = BODY.messages[0].content.map((b) => b.text);
const CALLS = ['call: Read {"path":"/a.png","limit":10}', 'call: Bash {"path":"x \\"y\\" \\\\"}'];
const PICTURE = `image: ${PNG}`, STOPPED = ['user: [Request interrupted by user]', 'user: Say what you see.'], FAILED = 'exit 1\n<stderr>no</stderr>';
const lines = (who, texts) => texts.map((text) => `${who}: ${text}`);
const SCRIPTS = {
	openai: [
		`system: ${SYSTEM.join('\n')}`, 'system: The user has opened b.txt.', ...lines('user', ASKED), 'assistant: I will read it.', ...CALLS,
		'result: Read: a picture:\n[see image below]', `result: Bash: ${FAILED}`, PICTURE, ...STOPPED, 'user: Go on.',
	],
	gemini: [
		...lines('system', SYSTEM), 'system: The user has opened b.txt.', ...lines('user', ASKED), 'assistant: I will read it.', ...CALLS,
		'result: Read: a picture:\n[see image below]', `result: Bash: ${JSON.stringify({ error: FAILED })}`, PICTURE, ...STOPPED, 'user: Go on.',
	],
	cohere: [ // to which the words before calls are its plan
		...lines('system', SYSTEM), 'system: The user has opened b.txt.', ...lines('user', ASKED), ...CALLS, 'assistant: I will read it.',
		'result: Read: a picture:[see image below]', `result: Bash: ${FAILED}`, PICTURE, ...STOPPED, 'user: Go on.',
	],
	ollama: [
		`system: ${SYSTEM.join('\n')}`, 'system: The user has opened b.txt.', `user: ${ASKED.join('\n')}`, 'thought: Two tools.', 'assistant: I will read it.',
		...CALLS, 'result: Read: a picture:\n[see image below]', `result: Bash: ${FAILED}`, 'user: [Request interrupted by user]\nSay what you see.', PICTURE,
		'user: Go on.',
	],
};
// A system message in the middle stays there, but at Gemini, which has one place for all.
const ROLES = {
	openai: ['system', 'user', 'assistant', 'tool', 'tool', 'user', 'system', 'user'],
	gemini: ['user', 'model', 'user', 'user'],
};
ROLES.cohere = ROLES.ollama = ROLES.openai;

async function setup(s, more = {}) {
	const peer = await s.peer();
	const seen = [], at = { answer: ANSWER };
	const daemon = await s.daemon({
		clients: { me: { key: `sha256:${sha256(KEY)}` } },
		providers: providersAt(peer, { openai: { model_options: [{ model: '*', reasoning: 'effort', tokens_field: 'max_completion_tokens' }] }, ...more }),
	});
	provide(peer, () => at.answer, { cut: (text) => text.match(/[\s\S]{1,9}/gu) ?? [], seen });
	return { peer, daemon, seen, at };
}
const client = (SDK, daemon, options = {}) => new SDK({
	baseURL: daemon.url, apiKey: KEY, maxRetries: 0, timeout: 600000, ...options,
	defaultHeaders: { 'user-agent': 'claude-cli/2.1.160 (external, cli)', 'x-app': 'cli', 'x-claude-code-session-id': '9f1c7a2e' },
});
const BETAS = ['claude-code-20250219', 'interleaved-thinking-2025-05-14', 'context-management-2025-06-27'];

for (const [sdk, SDK] of ANTHROPIC)
	for (const provider of ELSEWHERE)
		scenario(`Claude Code with ${sdk} at ${provider}`, async (s) => {
			const { daemon, seen } = await setup(s);
			const ai = client(SDK, daemon);
			for (const stream of [false, true]) {
				const ask = { ...BODY, model: provider, betas: BETAS };
				const message = stream ? await ai.beta.messages.stream(ask).finalMessage() : await ai.beta.messages.create(ask);
				const said = seen.at(-1), { body, request } = said;
				assert.ok(!request.target.includes('beta=true'), 'the query is not the provider\'s');
				assert.deepEqual(script(said), SCRIPTS[provider]);
				assert.deepEqual((body.messages ?? body.contents).map((m) => m.role), ROLES[provider]);
				assert.deepEqual(said.tools.map((t) => [t.name, t.description, JSON.parse(textOf(t.schema))]),
					TOOLS.map((t) => [t.name, t.description, t.input_schema]), 'all tools but the server\'s own, with their schemas as they are');
				assert.ok(!/cache_control|context_management|clear_thinking|anthropic-beta|ephemeral/.test(request.text), 'nothing of Anthropic\'s is left');
				assert.equal(said.most, 32000);
				if (provider === 'openai')
					assert.deepEqual([body.user, body.reasoning_effort, stream ? body.stream_options : undefined],
						[sha256(USER), 'high', stream ? { include_usage: true } : undefined]);
				else
					assert.ok(!request.text.includes(USER), 'who it is, is told to nobody');
				const { content, usage } = message;
				assert.deepEqual(content.map((b) => b.type), ['thinking', 'text', 'tool_use', 'tool_use']);
				assert.deepEqual([content[0].thinking, content[1].text], ['I see.', 'It is a picture. ']);
				assert.deepEqual(content.slice(2).map((b) => [b.name, b.input]), [['Edit', { path: '/b.txt', limit: 1.5 }], ['mcp__ide__executeCode', { path: '' }]]);
				assert.equal(message.stop_reason, 'tool_use');
				assert.equal(usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens, 12000);
				assert.equal(usage.output_tokens, 80);
			}
		});

scenario('Claude Code at Anthropic itself: not a byte is another', async (s) => {
	const { daemon, seen } = await setup(s);
	const [[, SDK]] = ANTHROPIC; // version 0.60 asks at ?beta=true by itself
	let sent;
	const ai = client(SDK, daemon, { fetch: (url, init) => {
		sent = init.body;
		return fetch(`${url}?beta=true`, init);
	} });
	const signed = JSON.parse(JSON.stringify(BODY).replaceAll('"signature":""', '"signature":"c2ln"')); // by Anthropic
	await ai.beta.messages.create({ ...signed, model: 'anthropic', betas: BETAS });
	const { request } = seen.at(-1);
	assert.equal(request.text, sent);
	assert.equal(request.target, '/v1/messages?beta=true');
	assert.equal(request.header('anthropic-beta'), BETAS.join(','));
	assert.equal(request.header('x-api-key'), 'sk-anthropic');
});

scenario('its key in either field or in both, with either version, and none', async (s) => {
	const { daemon, seen } = await setup(s);
	const ask = (headers) => s.request(daemon, { path: '/v1/messages?beta=true', json: { ...BODY, model: 'openai' }, headers: { Connection: 'close', ...headers } });
	const keys = [{ 'x-api-key': KEY }, { authorization: `Bearer ${KEY}` }, { 'x-api-key': KEY, authorization: `Bearer ${KEY}` },
		{ 'x-api-key': KEY, authorization: 'Bearer sk-of-something-else' }];
	for (const key of keys)
		for (const version of ['2023-06-01', '2026-10-21', undefined]) {
			const reply = await ask({ ...key, ...(version ? { 'anthropic-version': version } : {}) });
			assert.equal(reply.status, 200, reply.text);
			assert.equal(reply.json.type, 'message');
			const { request } = seen.at(-1);
			assert.equal(request.header('authorization'), 'Bearer sk-openai');
			assert.equal(request.header('x-api-key'), undefined);
			assert.ok(request.names.every((name) => !name.startsWith('anthropic-')), `${request.names}`);
			assert.ok(!request.head.toString().includes(KEY));
		}
	const reply = await ask({});
	assert.deepEqual([reply.status, reply.json.type, reply.json.error.type], [401, 'error', 'authentication_error']);
	assert.match(reply.json.request_id, /^\w+$/);
});

scenario('what it probes: HEAD /, and tokens that nobody counts', async (s) => {
	const { daemon, peer } = await setup(s);
	const conn = await s.connect(daemon);
	const head = await conn.exchange({ method: 'HEAD', path: '/' });
	assert.deepEqual([head.status, head.body.length], [200, 0]);
	assert.ok(Number(head.header('content-length')) > 0);
	// On the same connection, which a body would have upset.
	for (const model of ELSEWHERE) {
		const reply = await conn.exchange({ path: '/v1/messages/count_tokens?beta=true', headers: { 'x-api-key': KEY },
			json: { model, messages: BODY.messages, tools: BODY.tools } });
		assert.deepEqual([reply.status, reply.json.type, reply.json.error.type], [404, 'error', 'not_found_error'], model);
	}
	const [[, SDK]] = ANTHROPIC;
	const error = await failure(client(SDK, daemon).beta.messages.countTokens({ model: 'openai', messages: BODY.messages }));
	assert.ok(error instanceof SDK.NotFoundError);
	assert.equal(peer.requests.length, 0, 'no provider was asked');
});
