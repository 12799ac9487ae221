import { Component, type ComponentChildren } from "preact";
import { Failed } from "./Notices";

interface BoundaryProps {
  /** What is drawn, such as a path. Once it is another one, it is drawn again. */
  of: unknown;
  children: ComponentChildren;
}

interface BoundaryState {
  of?: unknown;
  error?: unknown;
}

/** A part of the page. If it can't be drawn, it says why, and everything around it goes on. */
export class Boundary extends Component<BoundaryProps, BoundaryState> {
  static override getDerivedStateFromProps(
    { of }: BoundaryProps,
    before: BoundaryState,
  ): BoundaryState | null {
    return of === before.of ? null : { of, error: undefined };
  }

  override componentDidCatch(error: unknown): void {
    this.setState({ error });
  }

  override render() {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return <Failed error={error} retry={() => this.setState({ error: undefined })} />;
  }
}
