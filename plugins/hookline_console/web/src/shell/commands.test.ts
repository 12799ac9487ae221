import { expect, test } from "vitest";
import { matchCommands } from "./commands";

const commands = ["Go to Flows", "Go to Executions", "Order intake", "Reorder"].map((title) => ({
  id: title,
  title,
}));
const titles = (text: string) => matchCommands(commands, text, 10).map((command) => command.title);

test("without a text, all commands are there in their order", () => {
  expect(titles("")).toEqual(["Go to Flows", "Go to Executions", "Order intake", "Reorder"]);
});

test("a beginning comes before a word's beginning, and that before a part of a word", () => {
  expect(titles("order")).toEqual(["Order intake", "Reorder"]);
  expect(titles("ex")).toEqual(["Go to Executions"]);
});

test("every word must match", () => {
  expect(titles("go flo")).toEqual(["Go to Flows"]);
  expect(titles("go order")).toEqual([]);
});

test("the number of commands is limited", () => {
  expect(matchCommands(commands, "", 2)).toHaveLength(2);
});
