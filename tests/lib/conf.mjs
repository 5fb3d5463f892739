// conf: a libconfig text from a JavaScript object, and back: objects are groups, arrays are lists.

export function confText(object, depth = 0) {
	const indent = '\t'.repeat(depth);
	return Object.entries(object)
		.filter(([, value]) => value !== undefined)
		.map(([name, value]) => `${indent}${name} = ${confValue(value, depth)};\n`)
		.join('');
}

function confValue(value, depth) {
	const indent = '\t'.repeat(depth);
	if (Array.isArray(value))
		return value.length ? `( ${value.map((v) => confValue(v, depth)).join(', ')} )` : '( )';
	if (value !== null && typeof value === 'object')
		return `{\n${confText(value, depth + 1)}${indent}}`;
	if (typeof value === 'string')
		return `"${value.replace(/["\\]/g, '\\$&').replace(/\n/g, '\\n').replace(/\t/g, '\\t').replace(/\r/g, '\\r')}"`;
	if (typeof value === 'number')
		return Number.isInteger(value) ? `${value}${Math.abs(value) > 0x7fffffff ? 'L' : ''}` : value.toString();
	return String(value);
}

// The object that a text like that of `api-router -T` stands for. Comments and adjacent strings are not understood.
export function parseConf(text) {
	const tokens = text.match(/"(?:[^"\\]|\\.)*"|[A-Za-z*][\w*-]*|-?\d[\w.+-]*|[^\s]/g);
	let at = 0;
	const take = (token) => {
		if (tokens[at++] !== token)
			throw new Error(`${token} expected, not ${tokens.slice(at - 1, at + 5).join(' ')}`);
	};
	const value = () => {
		const token = tokens[at++];
		if (token === '{') {
			const group = members();
			take('}');
			return group;
		}
		if (token === '(') {
			const list = [];
			while (tokens[at] !== ')') {
				list.push(value());
				if (tokens[at] !== ')')
					take(',');
			}
			take(')');
			return list;
		}
		return JSON.parse(token.replace(/\\x(..)/g, '\\u00$1').replace(/^(-?\d.*)L$/, '$1'));
	};
	const members = () => {
		const group = {};
		while (at < tokens.length && tokens[at] !== '}') {
			const name = tokens[at++];
			take(tokens[at] === ':' ? ':' : '=');
			group[name] = value();
			take(';');
		}
		return group;
	};
	return members();
}
