import type { TargetedEvent } from "preact";
import { Origin } from "../executions/Provenance";
import { print } from "../json/json";
import { Text } from "../json/Text";
import { texts } from "../texts";
import { Badge } from "../ui/Badge";
import { rowsOf } from "../ui/format";
import type { Evaluated } from "./evaluation";
import type { StepExpression } from "./expressions";

const words = texts.lab;
/** Characters of a value that are shown. */
const SHORT = 160;

interface ExpressionRowProps {
  expression: StepExpression;
  evaluated: Evaluated | undefined;
  chosen: boolean;
  readOnly: boolean;
  onChoose: () => void;
  /** The cursor is at a place of its text. */
  onCaret: (at: number) => void;
  onText: (text: string) => void;
}

/** An expression: its text, the value that it gives, the type of that, and where it comes from. */
export function ExpressionRow(props: ExpressionRowProps) {
  const { expression, evaluated, chosen, onChoose, onCaret, onText } = props;
  // A control would lose them, and count the places behind them wrongly.
  const hasReturns = expression.text.includes("\r");
  const follow = ({ currentTarget }: TargetedEvent<HTMLTextAreaElement>) => {
    if (!hasReturns) onCaret(currentTarget.selectionStart);
  };
  return (
    <li class={`lab-row${chosen ? " lab-chosen" : ""}`}>
      <label class="lab-expression">
        <span class="lab-name foreign">
          <Text>{expression.name}</Text> <span class="muted">{words.languages[expression.language]}</span>
        </span>
        <textarea
          class="input lab-input"
          value={expression.text}
          rows={rowsOf(expression.text)}
          readOnly={props.readOnly || hasReturns}
          title={hasReturns ? words.hasReturns : undefined}
          spellcheck={false}
          autocomplete="off"
          onFocus={onChoose}
          onClick={follow}
          onKeyUp={follow}
          onInput={(event) => {
            follow(event);
            onText(event.currentTarget.value);
          }}
        />
      </label>
      {evaluated && <Result evaluated={evaluated} />}
    </li>
  );
}

function Result({ evaluated }: { evaluated: Evaluated }) {
  const { value, type, problems, reads } = evaluated;
  const text = print(value, "");
  return (
    <div class="lab-result">
      {problems.map((problem) => (
        <p key={problem.message} class="lab-problem foreign">
          <Text>{problem.message}</Text>
          {problem.remedy && <span class="muted"> {problem.remedy}</span>}
        </p>
      ))}
      {type !== null && (
        <p class="lab-value">
          <code class="foreign">
            <Text>{text.length > SHORT ? `${text.slice(0, SHORT)}…` : text}</Text>
          </code>{" "}
          <Badge tone="info">{type.length > 60 ? `${type.slice(0, 59)}…` : type}</Badge>
        </p>
      )}
      {reads.length > 0 && (
        <details class="lab-origin">
          <summary class="foreign">{words.from(reads.map(({ field }) => field).join(", "))}</summary>
          {reads.map((read) => (
            <Origin key={read.field} origin={read} />
          ))}
        </details>
      )}
    </div>
  );
}
