package machine

import (
	"mvdan.cc/sh/v3/syntax"
)

// condition runs statements whose failure is no error, and tells whether they succeeded.
func (s *shell) condition(stmts []*syntax.Stmt) bool {
	s.untested++
	defer func() { s.untested-- }()
	s.stmts(stmts)
	return s.status == 0
}

func (s *shell) ifClause(clause *syntax.IfClause) {
	for ; clause != nil; clause = clause.Else {
		if len(clause.Cond) == 0 || s.condition(clause.Cond) {
			if !s.leaving() {
				s.stmts(clause.Then)
			}
			return
		}
		if s.leaving() {
			return
		}
	}
	s.status = 0
}

func (s *shell) while(clause *syntax.WhileClause) {
	status := 0
	s.loops++
	defer func() { s.loops-- }()
	for s.condition(clause.Cond) != clause.Until && !s.leaving() {
		s.stmts(clause.Do)
		status = s.status
		if s.leaveLoop() {
			break
		}
	}
	s.leaveLoop()
	if !s.returning {
		s.status = status
	}
}

// leaveLoop tells, at the end of a loop's round, whether there is to be no other.
func (s *shell) leaveLoop() bool {
	if s.breaking > 0 {
		s.breaking--
		return true
	}
	if s.continuing > 0 {
		s.continuing--
		return s.continuing > 0
	}
	return s.returning
}

func (s *shell) forClause(clause *syntax.ForClause) {
	iteration, ok := clause.Loop.(*syntax.WordIter)
	if !ok {
		s.complain("this kind of for is not supported")
		panic(exit(2))
	}
	words := s.params
	if iteration.InPos.IsValid() {
		words = s.fields(iteration.Items)
	}
	s.status = 0
	s.loops++
	defer func() { s.loops-- }()
	for _, word := range words {
		s.assign(iteration.Name.Value, word)
		s.stmts(clause.Do)
		if s.leaveLoop() {
			return
		}
	}
}

func (s *shell) caseClause(clause *syntax.CaseClause) {
	word := s.literal(clause.Word)
	s.status = 0
	for _, item := range clause.Items {
		for _, pattern := range item.Patterns {
			matches, err := s.matches(pattern, word)
			if err != nil {
				s.complain("%v", err)
			}
			if matches {
				s.stmts(item.Stmts)
				return
			}
		}
	}
}
