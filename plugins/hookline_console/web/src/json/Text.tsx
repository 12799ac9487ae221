import "./tree.css";
import { pieces } from "./visible";

/** A text from outside, whose invisible characters are shown as their codes. */
export function Text({ children, lines }: { children: string; lines?: boolean }) {
  return (
    <bdi>
      {pieces(children, lines).map((piece, index) =>
        piece.escaped ? (
          <span key={index} class="escaped">
            {piece.text}
          </span>
        ) : (
          piece.text
        ),
      )}
    </bdi>
  );
}
