import "./twist.css";

/** The sign of a row of a tree that opens and closes what is inside it. The keys are those of the tree. */
export function Twist({ expandable, onToggle }: { expandable: boolean; onToggle: () => void }) {
  return (
    <span
      class="twist"
      aria-hidden="true"
      onClick={(event) => {
        if (!expandable) return;
        event.stopPropagation();
        onToggle();
      }}
    >
      {expandable ? "›" : ""}
    </span>
  );
}
